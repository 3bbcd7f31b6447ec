"""Where training begins: the weights of a converted folder, or random ones of its sizes."""

import math
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax.traverse_util import unflatten_dict

from cosy_jax.checkpoint.reader import flat_shapes, load_params
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig

_LLM_SPREAD = 0.02  # Qwen2's initializer_range


def load_initial(weights: Path, stage: str, config: ModelConfig) -> dict[str, Any]:
    """The folder's parameters in float32, whatever it stores; CosyError as `load_params`."""
    return load_params(weights, stage, expected=expected_shapes(stage, config))


def draw_initial(stage: str, config: ModelConfig, seed: int) -> dict[str, Any]:
    """Random parameters as torch draws those of fresh layers, but for the language model, whose are Qwen2's: normal
    with a deviation of 0.02. On the host: jax.random would compile a program for each shape."""
    random = np.random.default_rng(seed)
    shapes = flat_shapes(expected_shapes(stage, config))
    drawn = {name: jnp.asarray(_draw(random, stage, name, shape)) for name, shape in sorted(shapes.items())}
    return unflatten_dict(drawn, sep="/")


def _draw(random: np.random.Generator, stage: str, name: str, shape: tuple[int, ...]) -> np.ndarray:
    leaf = name.rpartition("/")[2]
    if leaf in ("scale", "var", "alpha"):
        return np.ones(shape, np.float32)
    if leaf in ("bias", "mean"):
        return np.zeros(shape, np.float32)
    if stage.startswith("llm"):
        return random.normal(0, _LLM_SPREAD, shape).astype(np.float32)
    if leaf == "embedding":
        return random.standard_normal(shape, np.float32)
    # Linear kernels are (out, in), convolutions (taps, in, out) and (height, width, in, out).
    bound = 1 / math.sqrt(shape[1] if len(shape) == 2 else math.prod(shape[:-1]))
    return random.uniform(-bound, bound, shape).astype(np.float32)
