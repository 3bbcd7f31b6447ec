"""Phoneme and pitch of each speech token, from what flite prints."""

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from recipes.embedded_voice.flite import RATE, level, trim
from recipes.embedded_voice.labels import PHONEMES, PITCHES, parse_segments, token_labels, token_phonemes, token_pitches

PRINTED = "pau:0.08 hh:0.148 ax:0.17 l:0.28 ow:0.40 pau:0.60 \n"


def names(classes):
    return [PHONEMES[index] for index in classes]


def test_tokens_have_the_phoneme_that_takes_most_of_them():
    segments = parse_segments("pau:0.09 s:0.17 ow:0.40 pau:0.60")
    assert names(token_phonemes(segments, 15)) == ["pau"] * 2 + ["s"] * 2 + ["ow"] * 6 + ["pau"] * 5


def test_a_short_phoneme_keeps_a_token():
    """`ax` has 12 ms of a token and 10 ms of the next."""
    found = names(token_phonemes(parse_segments(PRINTED), 15))
    assert found == ["pau", "pau", "hh", "ax", *["l"] * 3, *["ow"] * 3, *["pau"] * 5]


def test_the_last_silence_lasts_to_the_end():
    assert names(token_phonemes(parse_segments("pau:0.04 s:0.08 pau:0.10"), 5)) == ["pau", "s", "pau", "pau", "pau"]


def test_pitch_is_relative_to_the_speaker():
    f0 = np.repeat([0, 80, 95, 100, 105, 125, 0], 4).astype(float)
    f0[-2:] = 100  # half of the last token
    assert token_pitches(f0, 100.0, 7).tolist() == [0, 1, 2, 3, 4, 5, 3]
    assert token_pitches(2 * f0, 200.0, 7).tolist() == [0, 1, 2, 3, 4, 5, 3]
    assert token_pitches(f0[:8], 100.0, 3).tolist() == [0, 1, 0]


def test_label_holds_both():
    labels = token_labels(parse_segments(PRINTED), np.full(60, 100.0), 100.0, 15)
    assert labels[8] == PHONEMES.index("ow") * PITCHES + 3
    assert labels.max() < len(PHONEMES) * PITCHES


@pytest.mark.parametrize("printed", ["", "pau:0.1", "pau:0.1 xx:0.2 pau:0.3", "pau:a s:0.2 pau:0.3", "s:0.2 t:0.3 s:1"])
def test_other_output_is_refused(printed):
    with pytest.raises(CosyError):
        parse_segments(printed)


def test_trimming_keeps_labels_on_the_sound():
    """A tone where `s` is: it begins 0.1 s after the start, and the end is a whole token."""
    samples = np.zeros(RATE, np.float32)
    samples[round(0.5 * RATE) : round(0.7 * RATE)] = 0.5
    kept, segments = trim(samples, parse_segments("pau:0.50 s:0.70 pau:1.10"))
    assert np.flatnonzero(kept)[0] == round(0.1 * RATE)
    assert segments[1] == ("s", pytest.approx(0.3))
    assert len(kept) == round(0.4 * RATE) == round(segments[-1][1] * RATE)


def test_silence_that_is_too_short_is_filled():
    samples = np.full(round(0.25 * RATE), 0.5, np.float32)
    kept, segments = trim(samples, parse_segments("pau:0.02 s:0.22 pau:0.26"))
    assert len(kept) == round(0.4 * RATE) and segments[1] == ("s", pytest.approx(0.3))
    assert kept[: round(0.08 * RATE)].max() == 0 < kept[round(0.2 * RATE)]


def test_speech_is_levelled_whatever_the_pauses():
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    alone, paused = level(0.01 * tone), level(np.concatenate([0.5 * tone, 0 * tone]))
    assert np.abs(alone - paused[:RATE]).max() < 1e-4
    assert 20 * np.log10(np.sqrt(np.square(alone).mean())) == pytest.approx(-23, abs=0.01)
