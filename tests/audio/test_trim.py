"""Of a long recording the cleanest stretch is taken, from pause to pause."""

import warnings

import numpy as np
import pytest

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.trim import cleanest_stretch
from cosy_jax.audio.usable import RecordingWarning
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.voice import load_voice_recording
from tests.reference import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"
SPEECH, RATE = load_audio(RECORDING)  # 4.3 s
PAUSE = np.zeros(RATE // 2, np.float32)
RANDOM = np.random.default_rng(0)


def noise(count, level):
    return (level * RANDOM.standard_normal(count)).astype(np.float32)


def spoken(*parts):
    """Parts with pauses around them, and where each begins and ends, in samples."""
    pieces, places, at = [PAUSE], [], len(PAUSE)
    for part in parts:
        places.append((at, at + len(part)))
        pieces += [part, PAUSE]
        at += len(part) + len(PAUSE)
    return np.concatenate(pieces), places


SPOILED = {
    "clipped": np.clip(6 * SPEECH, -1, 1),
    "too quiet": 0.02 * SPEECH,
    "silence": 0 * SPEECH,
}


@pytest.mark.parametrize("case", SPOILED)
@pytest.mark.parametrize("place", [0, 3, 7])
def test_the_clean_part_is_found(case, place):
    parts = [SPOILED[case]] * 8
    parts[place] = SPEECH
    samples, places = spoken(*parts)
    start, stop = cleanest_stretch(samples, RATE, 6.0)
    begin, end = places[place]
    assert begin - 0.12 * RATE <= start <= begin + 0.2 * RATE and end - 0.8 * RATE <= stop <= end + 0.12 * RATE


@pytest.mark.parametrize("level", [0.1, 0.01, 0.003])
def test_so_is_the_part_without_noise(level):
    samples, places = spoken(*[SPEECH] * 8)
    begin, end = places[5]
    hum = noise(len(samples), level)
    hum[begin - len(PAUSE) : end + len(PAUSE)] = 0
    start, stop = cleanest_stretch(samples + hum, RATE, 6.0)
    assert begin - 0.12 * RATE <= start <= begin + 0.2 * RATE and end - 0.8 * RATE <= stop <= end + 0.12 * RATE


def test_it_begins_and_ends_in_a_pause_and_is_long():
    samples, _ = spoken(*[SPEECH] * 9)
    start, stop = cleanest_stretch(samples, RATE)
    assert 7 * RATE < stop - start <= 10 * RATE
    edge = RATE // 20
    assert np.abs(samples[start : start + edge]).max() < 0.01 > np.abs(samples[stop - edge : stop]).max()
    assert (start, stop) == cleanest_stretch(samples, RATE)


def test_what_is_short_stays_whole():
    assert cleanest_stretch(SPEECH, RATE) == (0, len(SPEECH))


@pytest.mark.parametrize("samples", [noise(40 * RATE, 0.1), spoken(noise(20 * RATE, 0.1), noise(20 * RATE, 0.1))[0]])
def test_without_pauses_there_is_none(samples):
    with pytest.raises(CosyError, match="no stretch of 3 to 10 s between two pauses"):
        cleanest_stretch(samples, RATE)


def test_a_voice_of_a_long_recording_says_what_was_taken():
    samples, _ = spoken(*[SPEECH] * 9)
    with pytest.raises(CosyError, match="43.* s long: cut it to at most 30 s"):
        load_voice_recording((samples, RATE))
    with pytest.warns(
        RecordingWarning, match=r"is used from \d+\.\d\d s to \d+\.\d\d s: a transcript must say"
    ) as said:
        taken, rate = load_voice_recording((samples, RATE), trim=True)
    assert len(said) == 1 and rate == RATE and 7 * RATE < len(taken) <= 10 * RATE
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(load_voice_recording((SPEECH, RATE), trim=True)[0]) == len(SPEECH)


def test_only_a_recording_is_trimmed():
    with pytest.raises(CosyError, match="Only a recording can be trimmed") as caught:
        Request("Hello.", "ann", trim=True)
    assert caught.value.fields == ("trim",)
    assert Request("Hello.", recording="a.wav", transcript="Some words.", trim=True).trim
