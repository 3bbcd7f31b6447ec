"""What an evaluation keeps from run to run."""

import json

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.judgements import NAME, Judgements

COUNTS = {"substitutions": 0, "deletions": 0, "insertions": 0, "length": 1}
FIGURES = ("head_silence", "tail_silence", "clipped", "peak_db", "rms_db", "f0_median", "f0_spread", "voiced")
FOUND = {"heard": "hi", "words": COUNTS, "characters": COUNTS, "seconds": 1.5, **dict.fromkeys(FIGURES, 1)}
ONE = {"key": "a", "text": "Hi.", "speaker": "", "wav": "a.wav", "inputs": "1", **FOUND}


def written(folder):
    return [json.loads(line) for line in (folder / NAME).read_text().splitlines()]


def test_known_again_from_the_same_inputs_alone(tmp_path):
    with Judgements(tmp_path) as kept:
        kept.add(ONE)
    with Judgements(tmp_path) as kept:
        assert kept.of("a", "1") == ONE and kept.of("a", "2") is None and kept.of("b", "1") is None


def test_the_latest_counts_and_an_error_is_tried_again(tmp_path):
    with Judgements(tmp_path) as kept:
        kept.add(ONE)
        kept.add({**ONE, "error": "No recording."})
    with Judgements(tmp_path) as kept:
        assert kept.of("a", "1") is None


def test_a_line_that_was_cut_off_is_left_out(tmp_path):
    with Judgements(tmp_path) as kept:
        kept.add(ONE)
    path = tmp_path / NAME
    path.write_bytes(path.read_bytes() + b'{"key": "b", "te')
    with Judgements(tmp_path) as kept:
        assert kept.of("a", "1") == ONE
        kept.settle([ONE])
    assert written(tmp_path) == [ONE]


@pytest.mark.parametrize("line", ['{"key": "a", "line": 1, "error": "x"}', "text", "[1]"])
def test_another_programs_results_are_left_alone(tmp_path, line):
    (tmp_path / NAME).write_text(line + "\n")
    with pytest.raises(CosyError, match="is not of `cosy-jax evaluate`: name another folder"):
        Judgements(tmp_path)
    assert (tmp_path / NAME).read_text() == line + "\n"


def test_two_at_a_time_are_refused(tmp_path):
    with Judgements(tmp_path), pytest.raises(CosyError, match="Another process writes"):
        Judgements(tmp_path)


CHANGED = {
    "words": {"length": 1},
    "seconds": "long",
    "voiced": float("inf"),
    "heard": None,
    "reference": {"wav": "r.wav"},
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_somebody_has_changed_is_judged_again(tmp_path, name):
    (tmp_path / NAME).write_text(json.dumps({**ONE, name: CHANGED[name]}) + "\n")
    with Judgements(tmp_path) as kept:
        assert kept.of("a", "1") is None


def test_names_that_are_no_text(tmp_path):
    odd = {**ONE, "wav": "\udcff.wav", "text": "\x1b[2J", "reference": {**FOUND, "wav": "r.wav"}}
    with Judgements(tmp_path) as kept:
        kept.add(odd)
    assert b"\x1b" not in (tmp_path / NAME).read_bytes()
    with Judgements(tmp_path) as kept:
        assert kept.of("a", "1") == odd
