"""Rows as the reference lays them out."""

from dataclasses import replace

import numpy as np
import pytest

from cosy_jax.config import LLMConfig
from cosy_jax.train.llm.layout import IGNORED, stack_rows, takes_turns, training_row

CONFIG = LLMConfig()
SOS, EOS, TASK, FILL = CONFIG.sos_id, CONFIG.eos_id, CONFIG.task_id, CONFIG.fill_id
INSTRUCT = [901, 902]


def test_speech_after_the_whole_text():
    row = training_row(INSTRUCT, [1, 2, 3], [11, 12], CONFIG)
    assert row.ids.tolist() == [SOS, 901, 902, 1, 2, 3, TASK, 11, 12]
    assert row.is_text.tolist() == [False, True, True, True, True, True, False, False, False]
    assert row.targets.tolist() == [*[IGNORED] * 6, 11, 12, EOS]


def test_turns_with_text_left_over():
    text, speech = [1, 2, 3, 4, 5, 6, 7], list(range(101, 123))
    row = training_row(INSTRUCT, text, speech, CONFIG, turns=True)
    assert row.ids.tolist() == [SOS, 901, 902, *text[:5], *speech[:15], 6, 7, TASK, *speech[15:]]
    assert row.targets.tolist() == [*[IGNORED] * 7, *speech[:15], FILL, *[IGNORED] * 2, *speech[15:], EOS]
    assert row.is_text.tolist() == [
        each in (*text, *INSTRUCT) and place < 25 for place, each in enumerate(row.ids.tolist())
    ]


def test_turns_that_come_out_even():
    text, speech = list(range(1, 6)), list(range(101, 117))
    row = training_row(INSTRUCT, text, speech, CONFIG, turns=True)
    assert row.ids.tolist()[-3:] == [speech[14], TASK, speech[15]]
    assert row.targets.tolist()[-4:] == [speech[14], FILL, speech[15], EOS]


@pytest.mark.parametrize(
    ("coin", "text", "speech", "wanted"),
    [(0.0, 10, 31, True), (0.49, 10, 31, True), (0.5, 10, 31, False), (0.0, 10, 30, False), (0.0, 1, 4, True)],
)
def test_who_takes_turns(coin, text, speech, wanted):
    assert takes_turns(coin, text, speech, CONFIG) is wanted


def test_turns_of_other_lengths():
    config = replace(CONFIG, text_turn=3, speech_turn=4)
    assert takes_turns(0.0, 30, 41, config) and not takes_turns(0.0, 30, 40, config)
    text, speech = [1, 2, 3, 4, 5, 6, 7], list(range(101, 112))
    row = training_row(INSTRUCT, text, speech, config, turns=True)
    ids = [SOS, 901, 902, *text[:3], *speech[:4], *text[3:6], *speech[4:8], 7, TASK, *speech[8:]]
    assert row.ids.tolist() == ids
    assert row.targets.tolist().count(FILL) == 2


def test_padding_is_ignored():
    rows = [training_row([], [1], [5] * count, CONFIG) for count in (3, 1)]
    stacked = stack_rows(rows, 8, 4)
    assert stacked.targets.shape == (4, 8)
    assert (stacked.targets[2:] == IGNORED).all() and (stacked.targets[1, 4:] == IGNORED).all()
    np.testing.assert_array_equal(stacked.ids[0, :6], rows[0].ids)
