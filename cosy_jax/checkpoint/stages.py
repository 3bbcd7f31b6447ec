"""The stages by name: which module holds a stage's parameters, and their shapes.

Loading and random initialisation both ask here what a stage consists of.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from cosy_jax.checkpoint.reader import LLM_STAGES
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.cfm import Flow, FlowInputs
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn import stored
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer
from cosy_jax.vocoder.hift import HiFT


def _init_llm(config: ModelConfig, key: jax.Array) -> Any:
    ids = jnp.zeros((1, 2), jnp.int32)
    return SpeechLM(config.llm).init(key, ids, ids > 0, init_cache(config.llm, 1, 2, FLOAT32))


def _init_flow(config: ModelConfig, key: jax.Array) -> Any:
    flow = config.flow
    frames = 4 * flow.token_mel_ratio
    inputs = FlowInputs(
        tokens=jnp.zeros((1, 4), jnp.int32),
        lengths=jnp.full(1, 4),
        prompt_mel=jnp.zeros((1, frames, flow.mel_bands)),
        prompt_frames=jnp.zeros(1, jnp.int32),
        speaker=jnp.ones((1, flow.speaker_dim)),
        noise=jnp.zeros((frames, flow.mel_bands)),
    )
    return Flow(flow).init(key, inputs)


def _init_vocoder(config: ModelConfig, key: jax.Array) -> Any:
    return HiFT(config.vocoder).init(key, jnp.zeros((1, 4, config.vocoder.mel_bands)))


def _init_speech_tokenizer(config: ModelConfig, key: jax.Array) -> Any:
    mel = jnp.zeros((1, 16, config.speech_tokenizer.mel_bands))
    return SpeechTokenizer(config.speech_tokenizer).init(key, mel, jnp.full(1, 16))


def _init_speaker_encoder(config: ModelConfig, key: jax.Array) -> Any:
    fbank = jnp.zeros((1, 16, config.speaker_encoder.feature_bands))
    return SpeakerEncoder(config.speaker_encoder).init(key, fbank, jnp.full(1, 16))


_INITS: dict[str, Callable[[ModelConfig, jax.Array], Any]] = {
    **dict.fromkeys(LLM_STAGES, _init_llm),
    "flow": _init_flow,
    "vocoder": _init_vocoder,
    "speech_tokenizer": _init_speech_tokenizer,
    "speaker_encoder": _init_speaker_encoder,
}


def expected_shapes(stage: str, config: ModelConfig) -> dict:
    """The stage's parameters as a nested dict of `jax.ShapeDtypeStruct`; nothing is computed.

    Tracing tells, which takes one second or two at released sizes; what it told is read where programs are stored.
    """
    store, file = stored.current(), stored.file_name(f"shapes-{stage}", repr(config))
    content = store.read(file) if store else None
    if content is not None:
        return _nested(json.loads(content))
    with jax.enable_x64(True):
        found = jax.eval_shape(lambda key: _INITS[stage](config, key), jax.random.key(0))["params"]
    if store:
        leaves = jax.tree_util.tree_leaves_with_path(found)
        told = {jax.tree_util.keystr(path, simple=True, separator="/"): [x.dtype.name, x.shape] for path, x in leaves}
        store.write(file, json.dumps(told).encode())
    return found


def _nested(told: dict[str, tuple[str, list[int]]]) -> dict:
    """Types and shapes by '/'-joined path as `expected_shapes` gives them."""
    found: dict = {}
    for path, (dtype, shape) in told.items():
        *parents, leaf = path.split("/")
        inner = found
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[leaf] = jax.ShapeDtypeStruct(tuple(shape), dtype)
    return found


def check_layers(stage: str, path: Path, names: Iterable[str], config: ModelConfig) -> None:
    """CosyError unless the parameters `names` of the file `path` have as many layers as the configuration says.

    What `expected_shapes` compares as well, but it traces every layer there should be, and each takes a quarter of a
    second.
    """
    found = {part for name in names for part in name.split("/")}
    for setting, prefix, count in _layers(stage, config):
        layers = sum(re.fullmatch(rf"{prefix}\d+", part) is not None for part in found)
        if layers != count:
            raise CosyError(
                f"{path} has {layers} layers {prefix}N, the setting {setting} in config.json says {count}: convert the "
                "model again."
            )


def _layers(stage: str, config: ModelConfig) -> Iterable[tuple[str, str, int]]:
    """The settings that count a stage's layers, what the layers' names begin with, and how many there should be."""
    if stage in LLM_STAGES:
        yield "llm.num_layers", "layers_", config.llm.num_layers
    elif stage == "flow":
        yield "flow.depth", "blocks_", config.flow.depth
    elif stage == "vocoder":
        yield "vocoder.upsample_rates", "ups_", len(config.vocoder.upsample_rates)
    elif stage == "speech_tokenizer":
        yield "speech_tokenizer.num_blocks", "blocks_", config.speech_tokenizer.num_blocks
    elif stage == "speaker_encoder":
        for block, layers in enumerate(config.speaker_encoder.block_layers, 1):
            yield "speaker_encoder.block_layers", f"block{block}_", layers
