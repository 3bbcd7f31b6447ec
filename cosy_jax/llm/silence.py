"""Shortens long silences in speech ids (reference: CosyVoice3Model.llm_job)."""

from collections.abc import Collection, Iterable, Iterator

import numpy as np

from cosy_jax.errors import CosyError

MAX_SILENT_RUN = 5


def cap_silence(tokens: Iterable[int], silent: Collection[int]) -> list[int]:
    """The ids without those that would be the sixth or later `silent` one in a row."""
    return cap_run(tokens, 0, silent)[0]


def without_long_silence(ids: np.ndarray, silent: Collection[int]) -> np.ndarray:
    """Speech tokens int32 (L,) of the ids that were drawn: silence capped; CosyError where nothing is left."""
    tokens = cap_silence(ids.tolist(), silent)
    if not tokens:
        raise CosyError("The model ended before it spoke a single token: try another seed or a longer text.")
    return np.asarray(tokens, np.int32)


def cap_blocks(blocks: Iterable[list[int]], silent: Collection[int]) -> Iterator[list[int]]:
    """`cap_silence` of ids that come in blocks, whose silences may span several; blocks left empty are dropped."""
    run = 0
    for block in blocks:
        kept, run = cap_run(block, run, silent)
        if kept:
            yield kept


def cap_run(tokens: Iterable[int], run: int, silent: Collection[int]) -> tuple[list[int], int]:
    """The ids to keep after `run` silent ones in a row, and how many silent ones they end in, dropped ones counted."""
    kept = []
    for token in tokens:
        run = run + 1 if token in silent else 0
        if run <= MAX_SILENT_RUN:
            kept.append(token)
    return kept, run
