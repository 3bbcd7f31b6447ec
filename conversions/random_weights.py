"""Random weights in the converted format, for tests and benchmarks of sizes whose weights are not at hand."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import STAGES, flat_shapes, stage_path, storage_dtype
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import FlowConfig, LLMConfig, ModelConfig, SpeechTokenizerConfig, VocoderConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import get_precision

from .output import TOKENIZER, check_output, write_manifest, written_whole
from .tokenizer_files import write_byte_tokenizer
from .voices import keep_voices
from .write_safetensors import write

RANDOM_STAGES = tuple(stage for stage in STAGES if stage != "llm.rl")
SIZES = {
    "released": ModelConfig(),
    "tiny": replace(
        ModelConfig(),
        llm=LLMConfig(
            text_vocab_size=1024, hidden_size=64, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=128
        ),
        flow=FlowConfig(lookahead_channels=96, dim=64, depth=3, heads=2, head_dim=32),
        vocoder=VocoderConfig(base_channels=32, f0_channels=32),
        speech_tokenizer=SpeechTokenizerConfig(dim=128, heads=2, num_blocks=2),
    ),
}

# The vocoder's last words: F0 in Hz, else all is unvoiced, and log magnitudes, else all is clipped.
_BIASES = {"f0_predictor/classifier/bias": 200.0, "conv_post/bias": -1.0}
_GAINS = {"f0_predictor/classifier/kernel": 100.0, "conv_post/kernel": 0.1}


def write_random(out: str | Path, size: str, seed: int, dtype: str = "float32") -> Iterator[str]:
    """Write a converted folder of random weights of a size in `SIZES`; yields each stage's name once it is written.

    The folder appears when all stages are done. Its text vocabulary is the 256 bytes and the special tokens. CosyError
    for a negative seed, and where `out` holds anything else.
    """
    yield from write_random_model(out, SIZES[size], seed, dtype, write_byte_tokenizer)


def write_random_model(
    out: str | Path, config: ModelConfig, seed: int, dtype: str, write_tokenizer: Callable[[Path], None]
) -> Iterator[str]:
    """As `write_random`, for any sizes, and with the tokenizer that `write_tokenizer` puts into a folder."""
    out = Path(out).resolve()
    if seed < 0:
        raise CosyError(f"The seed is {seed}: use zero or a positive whole number.", "seed")
    check_output(out)
    precision = get_precision(dtype)
    with written_whole(out) as folder:
        for index, stage in enumerate(RANDOM_STAGES):
            random = np.random.default_rng((seed, index))
            shapes = flat_shapes(expected_shapes(stage, config))
            write(
                stage_path(folder, stage),
                [(name, shape, storage_dtype(stage, shape, precision), _draw(random, name, shape))
                 for name, shape in shapes.items()],
            )  # fmt: skip
            yield stage
        write_tokenizer(folder / TOKENIZER)
        write_manifest(folder / "config.json", config, dtype, {}, ("llm",))
        keep_voices(out, folder)


def _draw(random: np.random.Generator, name: str, shape: tuple[int, ...]) -> Callable[[], np.ndarray]:
    """Values that keep signals near unit size through the network: kernels by fan-in, norms the identity."""

    def read() -> np.ndarray:
        leaf = name.rsplit("/", 1)[-1]
        if leaf in ("scale", "var", "alpha"):
            return np.ones(shape, np.float32)
        if leaf in ("bias", "mean"):
            return np.full(shape, _BIASES.get(name, 0.0), np.float32)
        # Linear kernels are (out, in), convolutions (taps, in, out) and (height, width, in, out).
        fan_in = shape[1] if len(shape) == 2 else math.prod(shape[:-1])
        values = random.standard_normal(shape, np.float32)
        values *= np.float32(_GAINS.get(name, 1.0) / math.sqrt(fan_in))
        return values

    return read
