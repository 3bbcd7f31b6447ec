"""Runs every check that a folder of dumps has data for."""

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.parity.check import Check
from cosy_jax.parity.flow_checks import check_flow
from cosy_jax.parity.llm_checks import check_llm
from cosy_jax.parity.padding_checks import check_padding
from cosy_jax.parity.prompt_checks import check_features, check_speaker, check_speech_tokenizer, check_tokenizer
from cosy_jax.parity.vocoder_checks import (
    check_end_to_end,
    check_noise,
    check_released_noise,
    check_vocoder,
    check_vocoder_noise,
)
from cosy_jax.synthesis import Synthesizer

CheckFunction = Callable[[Synthesizer, Path], list[Check]]

# File name (a glob) -> check, in the order of the data's way through the model.
CHECKS: dict[str, CheckFunction] = {
    "tokenizer.json": check_tokenizer,
    "features_*.safetensors": check_features,
    "speech_tokenizer.safetensors": check_speech_tokenizer,
    "campplus.safetensors": check_speaker,
    "llm.safetensors": check_llm,
    "flow_*.safetensors": check_flow,
    "hift_offline.safetensors": check_vocoder,
    "hift_chunk.safetensors": check_vocoder,
    "noise.safetensors": check_noise,
    "hift_noise.safetensors": check_vocoder_noise,
    "noise_released_size.safetensors": check_released_noise,
    "end_to_end.safetensors": check_end_to_end,
}
# Padding has no file of its own: its inputs are in this one.
PADDING_INPUTS = "flow_offline.safetensors"
NOT_COVERED = {
    "streaming.safetensors": "chunked synthesis is not built yet",
    "text_frontend.json": "text normalisation is not built yet",
    "llm_bistream.json": "text streaming is not built yet",
}


def run_parity(synthesizer: Synthesizer, dumps: str | Path) -> Iterator[tuple[str, list[Check]]]:
    """Yields (dump name, its checks), one dump at a time; CosyError where the folder holds no dump."""
    dumps = Path(dumps)
    if not dumps.is_dir():
        raise CosyError(f"No such folder of dumps: {dumps}.")
    found = [(path, check) for pattern, check in CHECKS.items() for path in sorted(dumps.glob(pattern))]
    if not found:
        raise CosyError(f"{dumps} holds no dump that parity knows: expected files such as llm.safetensors.")
    for path, check in found:
        yield path.stem, check(synthesizer, path)
    if (dumps / PADDING_INPUTS).exists():
        yield "padding", check_padding(synthesizer, dumps / PADDING_INPUTS)


def not_covered(dumps: str | Path) -> dict[str, str]:
    """Dumps in the folder that no check reads yet, with the reason."""
    return {name: reason for name, reason in NOT_COVERED.items() if (Path(dumps) / name).exists()}


def to_json(results: list[tuple[str, list[Check]]], skipped: dict[str, str]) -> str:
    """The whole report as JSON: {"ok", "checks": [{"dump", ...}], "not_covered"}."""
    rows = [{"dump": dump, **dataclasses.asdict(check)} for dump, checks in results for check in checks]
    return json.dumps({"ok": all(row["ok"] for row in rows), "checks": rows, "not_covered": skipped}, indent=1)
