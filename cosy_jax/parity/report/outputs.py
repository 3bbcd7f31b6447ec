"""What a stage hands on, ours and the dump's, to be looked at side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cosy_jax.parity.checks.flow import run_flow
from cosy_jax.parity.checks.vocoder import speak_dump, vocode_dump
from cosy_jax.parity.dumps import read_dump
from cosy_jax.parity.report.report import Results
from cosy_jax.synthesis.synthesizer import Synthesizer

MEL_DUMPS = ("flow_*.safetensors", "end_to_end.safetensors")
AUDIO_DUMPS = ("hift_offline.safetensors", "hift_chunk.safetensors", "end_to_end.safetensors")


class Pair(NamedTuple):
    """Ours and the reference's, both (T, M) or both (S,); lengths may differ where something is wrong."""

    dump: str
    ours: np.ndarray
    theirs: np.ndarray


def worth_a_look(dumps: Path, patterns: Sequence[str], results: Results) -> Path | None:
    """Of the dumps that match, the first with a missed check, else the first; None where none matches."""
    missed = {dump for dump, checks in results if not all(check.ok for check in checks)}
    paths = [path for pattern in patterns for path in sorted(dumps.glob(pattern))]
    return next((path for path in paths if path.stem in missed), paths[0] if paths else None)


def mels(synthesizer: Synthesizer, path: Path) -> Pair:
    """The mels (T, M) of one of `MEL_DUMPS`, without the prompt."""
    dump = read_dump(path, synthesizer.config)
    whole = "speech_token" in dump
    ours = speak_dump(synthesizer, dump)[0] if whole else run_flow(synthesizer, path).ours["mel"][0].T
    return Pair(path.stem, ours, dump["mel"][0].T)


def waves(synthesizer: Synthesizer, path: Path) -> Pair:
    """The samples (S,) of one of `AUDIO_DUMPS`."""
    dump = read_dump(path, synthesizer.config)
    whole = "speech_token" in dump
    ours = speak_dump(synthesizer, dump)[1] if whole else vocode_dump(synthesizer, path, dump)[0][0]
    return Pair(path.stem, ours, dump["audio"][0])
