"""The figures as JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any

from cosy_jax.compare.measure import Comparison, Recording
from cosy_jax.compare.verdict import file_warnings, sentence


def to_json(results: Sequence[tuple[Recording, Comparison | None]]) -> str:
    """{"files": [{"path", "level", ..., "against_first"}]}, figures unrounded; the first has no comparison.

    An infinite SNR is null, and so is an F0 figure where nothing is voiced.
    """
    files = [
        {
            "path": recording.path,
            "level": recording.level._asdict(),
            "median_f0": recording.median_f0,
            "voiced": recording.voiced,
            "warnings": file_warnings(recording.level, comparison),
            "against_first": comparison and _comparison(comparison),
        }
        for recording, comparison in results
    ]
    return json.dumps(_finite({"files": files}), indent=1)


def _comparison(comparison: Comparison) -> dict[str, Any]:
    return {
        "verdict": sentence(comparison),
        "identical": comparison.identical,
        "rate": comparison.rate,
        "lag_seconds": comparison.lag_seconds,
        **comparison.alignment._asdict(),
        "mel_distance": comparison.mel_distance,
        **comparison.pitch._asdict(),
        "longer": comparison.longer,
    }


def _finite(value: Any) -> Any:
    """The same without what JSON has no number for."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
