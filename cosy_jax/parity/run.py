"""Runs every check that a folder of dumps has data for."""

from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.parity.check import Check
from cosy_jax.parity.checks.bistream import check_bistream
from cosy_jax.parity.checks.flow import check_flow
from cosy_jax.parity.checks.llm import check_llm
from cosy_jax.parity.checks.padding import check_padding
from cosy_jax.parity.checks.prompt import check_features, check_speaker, check_speech_tokenizer, check_tokenizer
from cosy_jax.parity.checks.streaming import check_streaming
from cosy_jax.parity.checks.text import check_text_frontend
from cosy_jax.parity.checks.training import check_flow_training, check_llm_training
from cosy_jax.parity.checks.training_vocoder import check_training_vocoder
from cosy_jax.parity.checks.vocoder import (
    check_end_to_end,
    check_noise,
    check_released_noise,
    check_vocoder,
    check_vocoder_noise,
)
from cosy_jax.synthesis.speech import NotFiniteError
from cosy_jax.synthesis.synthesizer import Synthesizer

CheckFunction = Callable[[Synthesizer, Path], list[Check]]

LLM_DUMPS = ("llm.safetensors", "llm_[0-9]*.safetensors")  # of the first segment of a text, and of the others
# File name (a glob) -> check, in the order of the data's way through the model.
CHECKS: dict[str, CheckFunction] = {
    "text_frontend.json": check_text_frontend,
    "tokenizer.json": check_tokenizer,
    "features_*.safetensors": check_features,
    "speech_tokenizer.safetensors": check_speech_tokenizer,
    "campplus.safetensors": check_speaker,
    **dict.fromkeys(LLM_DUMPS, check_llm),
    "llm_bistream.json": check_bistream,
    "flow_*.safetensors": check_flow,
    "hift_offline.safetensors": check_vocoder,
    "hift_chunk.safetensors": check_vocoder,
    "streaming.safetensors": check_streaming,
    "noise.safetensors": check_noise,
    "hift_noise.safetensors": check_vocoder_noise,
    "noise_released_size.safetensors": check_released_noise,
    "end_to_end.safetensors": check_end_to_end,
    "training_llm_*.safetensors": check_llm_training,
    "training_flow_*.safetensors": check_flow_training,
    "training_vocoder.safetensors": check_training_vocoder,
}
# Padding has no file of its own: its inputs are in this one.
PADDING_INPUTS = "flow_offline.safetensors"
# What layers gave out: read to explain a missed check.
TRACES = "trace_*.safetensors"


def run_parity(synthesizer: Synthesizer, dumps: str | Path) -> Iterator[tuple[str, list[Check]]]:
    """Yields (dump name, its checks), one dump at a time; CosyError where the folder holds no dump."""
    dumps = Path(dumps)
    if not dumps.is_dir():
        raise CosyError(f"No such folder of dumps: {dumps}.")
    found = [(path, check) for pattern, check in CHECKS.items() for path in sorted(dumps.glob(pattern))]
    if not found:
        raise CosyError(f"{dumps} holds no dump that parity knows: expected files such as llm.safetensors.")
    for path, check in found:
        try:
            yield path.stem, check(synthesizer, path)
        except NotFiniteError as error:  # a limit that is missed, not bad input
            yield path.stem, [Check("all", "finite", False, note=str(error))]
    if (dumps / PADDING_INPUTS).exists():
        yield "padding", check_padding(synthesizer, dumps / PADDING_INPUTS)


def not_covered(dumps: str | Path) -> list[str]:
    """Files in the folder that look like dumps but that no check reads."""
    names = sorted(path.name for path in Path(dumps).iterdir() if path.suffix in (".safetensors", ".json"))
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in (*CHECKS, TRACES))]
