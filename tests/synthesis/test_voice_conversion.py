"""Voice conversion: the source's tokens in another voice, whatever the source's length."""

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.read import load_audio
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.features import RATE
from cosy_jax.synthesis.voice_conversion import quiet_cuts, source_pieces
from tests.reference import REPOSITORY

SOURCE = REPOSITORY / "tests" / "data" / "prompt_0.flac"
CONFIG = ModelConfig()


@pytest.fixture(scope="module")
def voice(synthesizer):
    return synthesizer.voice(REPOSITORY / "tests" / "data" / "prompt_1.flac")


def noise(seconds, pauses=()):
    """Noise with pauses of 0.2 s around the given seconds."""
    wav = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * RATE)).astype(np.float32)
    for pause in pauses:
        wav[round((pause - 0.1) * RATE) : round((pause + 0.1) * RATE)] *= 0.01
    return wav


def test_short_source_is_one_piece():
    assert quiet_cuts(noise(30), 25) == []


def test_cuts_lie_in_pauses():
    cuts = quiet_cuts(noise(75, pauses=(10, 24.3, 29, 48, 49.5, 70)), 25)
    assert len(cuts) == 2
    seconds = np.asarray(cuts) / RATE
    assert min(abs(seconds[0] - pause) for pause in (24.3, 29)) < 0.1
    assert min(abs(seconds[1] - pause) for pause in (48, 49.5)) < 0.1


@pytest.mark.parametrize("seconds", [30.01, 30.5, 60.0, 61.3, 100.02])
def test_pieces_fit_the_tokenizer_and_lose_nothing(seconds):
    wav = noise(seconds)
    pieces = source_pieces((wav, RATE), CONFIG)
    np.testing.assert_array_equal(np.concatenate(pieces), wav)
    lengths = [len(piece) / RATE for piece in pieces]
    assert max(lengths) <= 30 and min(lengths) >= 1
    assert all(length >= 20 and len(piece) % 640 == 0 for length, piece in zip(lengths[:-1], pieces, strict=False))


def test_converts_to_the_source_tokens(synthesizer, voice):
    speech = synthesizer.convert_voice(SOURCE, voice)
    expected = synthesizer.voice(SOURCE).prompt.speech_tokens  # cut to whole pairs of mel frames; a source is not
    np.testing.assert_array_equal(speech.tokens[: len(expected)], expected)
    assert len(speech.tokens) - len(expected) in (0, 1)
    np.testing.assert_array_equal(speech.mel, synthesizer.mel(speech.tokens, voice.prompt))
    np.testing.assert_array_equal(speech.audio, synthesizer.vocode(speech.mel))
    assert list(speech.seconds) == ["speech tokens", "flow", "vocoder"]


@pytest.mark.slow
def test_voice_and_speed_matter(synthesizer, voice):
    plain = synthesizer.convert_voice(SOURCE, voice)
    other = synthesizer.convert_voice(SOURCE, synthesizer.voice(SOURCE))
    assert not np.array_equal(plain.audio, other.audio)
    slow = synthesizer.convert_voice(SOURCE, voice, speed=0.8)
    assert len(slow.audio) == 480 * int(len(plain.mel) / 0.8)


@pytest.mark.slow
def test_long_source(synthesizer, voice):
    samples, rate = load_audio(SOURCE)
    long = np.tile(samples, int(41 * rate / len(samples)) + 1)[: 41 * rate]
    stages = []
    speech = synthesizer.convert_voice((long, rate), voice, on_stage=stages.append)
    assert stages == ["speech tokens", "flow", "vocoder", "flow", "vocoder"]
    assert len(speech.tokens) == 41 * 25 and speech.duration == 41
    pieces = source_pieces((long, rate), CONFIG)
    assert len(pieces) == 2
    join = len(pieces[0]) * 3 // 2
    jumps = np.abs(np.diff(speech.audio))
    assert jumps[join - 121 : join + 120].max() <= np.delete(jumps, slice(join - 121, join + 120)).max()
    assert jumps[join - 1] < np.median(jumps)


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros(RATE, np.float32), "The source is silent"),
        (np.full(RATE, 5e-4, np.float32), "The source is silent"),
        (np.zeros(0, np.float32), "is empty"),
        (np.ones(100, np.float32), "too short"),
    ],
)
def test_unusable_source(samples, message):
    with pytest.raises(CosyError, match=message):
        source_pieces((samples, RATE), CONFIG)


def test_silent_file_is_named(tmp_path):
    soundfile.write(tmp_path / "quiet.wav", np.zeros(40 * RATE), RATE)
    with pytest.raises(CosyError, match=r"quiet\.wav' is silent"):
        source_pieces(tmp_path / "quiet.wav", CONFIG)
