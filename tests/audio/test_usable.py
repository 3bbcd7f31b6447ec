"""Recordings that no voice can be made from are refused, bad ones warned of, good ones pass without a word."""

import struct
import warnings

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.usable import RecordingWarning, faults, load_speech
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voice import load_voice_recording
from cosy_jax.synthesis.voice_conversion import source_pieces
from tests.reference import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"
RATE = 24000
SPEECH, SPEECH_RATE = load_audio(RECORDING)


def noise(seconds, level=0.1):
    return (level * np.random.default_rng(0).standard_normal(round(seconds * RATE))).astype(np.float32)


def write(path, samples, rate=RATE, subtype="PCM_16"):
    soundfile.write(path, samples, rate, subtype)
    return path


REFUSED = {
    "silent": (np.zeros(RATE), "is silent"),
    "nearly silent": (noise(1, 1e-4), "is silent"),
    "constant": (np.full(RATE, 0.5), "is constant"),
    "too short": (noise(0.1), r"is 0\.100 s long, too short"),
    "anti-phase": (np.stack([noise(1), -noise(1)], axis=1), "has channels that cancel each other"),
    "nearly anti-phase": (np.stack([noise(1), -0.97 * noise(1)], axis=1), "has channels that cancel each other"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_no_voice_is_made_of_these(synthesizer, tmp_path, case):
    samples, message = REFUSED[case]
    path = write(tmp_path / "voice.wav", samples)
    with pytest.raises(CosyError, match=rf"The recording '.*voice\.wav' {message}"):
        synthesizer.voice(path)
    if samples.ndim == 1:
        with pytest.raises(CosyError, match=f"The recording {message}"):
            synthesizer.voice((samples.astype(np.float32), RATE))


@pytest.mark.parametrize("case", ["silent", "constant", "anti-phase"])
def test_nor_is_such_a_source_converted(synthesizer, tmp_path, case):
    samples, message = REFUSED[case]
    with pytest.raises(CosyError, match=message):
        source_pieces(write(tmp_path / "source.wav", samples), synthesizer.config)


@pytest.mark.parametrize("channels", [(1, 1), (1, 0), (1, -0.5), (1, 0.02)])
def test_other_channels_do_not_cancel(tmp_path, channels):
    samples = noise(1)[:, None] * np.asarray(channels)
    assert len(load_audio(write(tmp_path / "voice.wav", samples))[0]) == RATE


@pytest.mark.parametrize("share", [0.2, 0.5, 0.95])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_truncated_files(tmp_path, share, kind):
    path = write(tmp_path / f"voice.{kind}", noise(3))
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(CosyError, match=r"voice\.\w+' (is truncated|as audio)"):
        load_audio(path)


@pytest.mark.parametrize("size", [0, 0x7FFFFFFF, 0xFFFFFFFF, 0xFFFFFFD0])
def test_a_wav_without_a_size_is_whole(tmp_path, size):
    """As programs write it that do not know how much will come."""
    path = write(tmp_path / "voice.wav", noise(1))
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = struct.pack("<I", size)
    path.write_bytes(content)
    if size:
        assert len(load_audio(path)[0]) == RATE
    else:  # libsndfile takes it at its word
        with pytest.raises(CosyError, match="is empty"):
            load_audio(path)


def test_headers_do_not_command_the_memory(tmp_path):
    path = write(tmp_path / "voice.flac", noise(1))
    content = bytearray(path.read_bytes())
    content[21] |= 0x0F  # the 36 bits that count the samples begin here
    content[22:26] = b"\xff" * 4
    path.write_bytes(content)
    with pytest.raises(CosyError, match="truncated|as audio"):
        load_audio(path, max_seconds=None)
    wav = write(tmp_path / "voice.wav", noise(1))
    content = bytearray(wav.read_bytes())
    content[24:28] = struct.pack("<I", 2**31 - 1)
    wav.write_bytes(content)
    with pytest.raises(CosyError, match="use one of at most 384000 Hz"):
        load_audio(wav)


def test_names_that_mean_samples_without_a_header(tmp_path):
    (tmp_path / "voice.raw").write_bytes(bytes(1000))
    with pytest.raises(CosyError, match=r"Cannot read '.*voice\.raw' as audio"):
        load_audio(tmp_path / "voice.raw")


WARNED = {
    "short": (lambda speech: speech[: round(1.4 * SPEECH_RATE)], "is 1.4 s long: 3 to 10 s make a better voice"),
    "clipped": (lambda speech: np.clip(4 * speech, -1, 1), r"is clipped \(.*% of its samples\)"),
    "clipped below full scale": (lambda speech: np.clip(4 * speech, -0.99, 0.99), "is clipped"),
    "quiet": (lambda speech: 0.02 * speech, "is very quiet"),
    "noisy": (lambda speech: speech + noise(10, speech.std() * 10**-0.25)[: len(speech)], "is noisy"),
}


@pytest.mark.parametrize("case", WARNED)
def test_bad_voices_are_warned_of(tmp_path, case):
    spoil, message = WARNED[case]
    path = write(tmp_path / "voice.wav", spoil(SPEECH), SPEECH_RATE, "FLOAT")
    with pytest.warns(RecordingWarning, match=rf"The recording '.*voice\.wav' {message}") as caught:
        load_voice_recording(path)
    assert len(caught) == 1


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize("level", [1.0, 0.1])
def test_good_ones_pass_without_a_word(number, level):
    samples, rate = load_audio(REPOSITORY / "tests" / "data" / f"prompt_{number}.flac")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_voice_recording((level * samples, rate))
    # A little noise and a little clipping are not worth a word.
    assert faults(samples + noise(10, samples.std() * 0.1)[: len(samples)], rate) == []
    assert faults(np.clip(samples * 1.3, -1, 1), rate) == []


def test_a_source_may_be_short_and_noisy():
    assert len(load_speech((noise(0.06), RATE), "The source", 0.05)[0]) == 1440
