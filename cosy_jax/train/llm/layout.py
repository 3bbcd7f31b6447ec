"""Rows of ids that the language model learns from (reference: Qwen2LM.prepare_lm_input_target).

I, T, S ids of instruction, text and speech; the targets are shifted already: what stands at a position is the id that
is to follow it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.train.totals import Array

IGNORED = -1
BISTREAM_SHARE = 0.5


class TrainingRow(NamedTuple):
    """Ids, whether each is a text id, what is to follow it or -1: int32, bool, int32, each (T,), or (B, T) stacked."""

    ids: Array
    is_text: Array
    targets: Array


def takes_turns(coin: float, text: int, speech: int, config: LLMConfig) -> bool:
    """Whether an utterance of so many ids is learnt in turns, by a coin uniform in [0, 1): half of those whose every
    turn of text has a whole turn of speech."""
    return coin < BISTREAM_SHARE and speech * config.text_turn > text * config.speech_turn


def training_row(
    instruct: Sequence[int], text: Sequence[int], speech: Sequence[int], config: LLMConfig, turns: bool = False
) -> TrainingRow:
    """One utterance, its text whole before its speech: [sos, instruct, text, task, speech] learns [speech, eos]; or in
    `turns`, as it is when text arrives in pieces."""
    row = _Row()
    row.say([config.sos_id])
    row.read(instruct)
    if turns:
        _take_turns(row, text, speech, config)
    else:
        row.read(text)
        row.answer([config.task_id], speech, config.eos_id)
    return row.finish()


def _take_turns(row: "_Row", text: Sequence[int], speech: Sequence[int], config: LLMConfig) -> None:
    """A turn of text ids and one of speech, again and again, each ended by the fill id, which is never an input: the
    next text takes its place. What is left of the text, less than a turn, then all the speech that is left."""
    reads, speaks = config.text_turn, config.speech_turn
    whole = len(text) // reads
    for turn in range(whole):
        read = text[turn * reads : (turn + 1) * reads]
        row.read(read[:-1])
        row.answer(read[-1:], speech[turn * speaks : (turn + 1) * speaks], config.fill_id, is_text=True)
    row.read(text[whole * reads :])
    row.answer([config.task_id], speech[whole * speaks :], config.eos_id)


class _Row:
    """A row as it grows."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._is_text: list[bool] = []
        self._targets: list[int] = []

    def say(self, ids: Sequence[int]) -> None:
        self._add(ids, False, [IGNORED] * len(ids))

    def read(self, ids: Sequence[int]) -> None:
        self._add(ids, True, [IGNORED] * len(ids))

    def answer(self, last: Sequence[int], speech: Sequence[int], end: int, is_text: bool = False) -> None:
        """After the id `last`, the speech is to follow, and after that `end`."""
        self._add(last, is_text, speech[:1] if len(speech) else [end])
        if len(speech):
            self._add(speech, False, [*speech[1:], end])

    def _add(self, ids: Sequence[int], is_text: bool, targets: Sequence[int]) -> None:
        self._ids += map(int, ids)
        self._is_text += [is_text] * len(ids)
        self._targets += map(int, targets)

    def finish(self) -> TrainingRow:
        return TrainingRow(
            np.asarray(self._ids, np.int32), np.asarray(self._is_text, bool), np.asarray(self._targets, np.int32)
        )


def stack_rows(rows: Sequence[TrainingRow], size: int, count: int | None = None) -> TrainingRow:
    """Rows right-padded to `size`, (B, size) each, with empty rows up to `count` of them."""
    shape = (count or len(rows), size)
    stacked = np.zeros(shape, np.int32), np.zeros(shape, bool), np.full(shape, IGNORED, np.int32)
    for index, row in enumerate(rows):
        for whole, part in zip(stacked, row, strict=True):
            whole[index, : len(part)] = part
    return TrainingRow(*stacked)
