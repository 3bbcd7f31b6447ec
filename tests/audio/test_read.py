import numpy as np
import pytest
import soundfile

from cosy_jax.audio.read import check_audio, load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError


def sine(hertz, rate, seconds=0.5):
    return np.sin(2 * np.pi * hertz * np.arange(round(rate * seconds)) / rate)


@pytest.mark.parametrize("rates", [(44100, 16000), (22050, 24000), (48000, 24000), (16000, 24000), (44101, 16000)])
def test_resampled_sine(rates):
    ours, expected = resample(sine(1000, rates[0]), *rates), sine(1000, rates[1])
    assert ours.shape == expected.shape
    inside = slice(100, len(expected) - 100)  # the ends see the silence around the signal
    np.testing.assert_allclose(ours[inside], expected[inside], rtol=0, atol=2e-3)


def test_resample_keeps_what_fits():
    inside = slice(100, -100)
    ours, expected = resample(sine(5000, 48000), 48000, 16000), sine(5000, 16000)
    np.testing.assert_allclose(ours[inside], expected[inside], rtol=0, atol=0.01)


def test_resample_removes_what_would_alias():
    inside = resample(sine(11000, 48000), 48000, 16000)[100:-100]
    assert np.abs(inside).max() < 0.01


def test_resample_length_is_rounded_up():
    assert [len(resample(np.ones(n), 44100, 16000)) for n in (1, 441, 442, 4410)] == [1, 160, 161, 1600]


def test_resample_to_the_same_rate():
    samples = sine(440, 24000).astype(np.float32)
    np.testing.assert_array_equal(resample(samples, 24000, 24000), samples)


def test_channels_are_averaged(tmp_path):
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([np.full(2400, 0.5), np.full(2400, -0.25)], axis=1), 24000, "FLOAT")
    samples, rate = load_audio(path)
    assert (samples.dtype, samples.shape, rate) == (np.float32, (2400,), 24000)
    np.testing.assert_allclose(samples, 0.125)


def test_missing_file(tmp_path):
    with pytest.raises(CosyError, match=r"No recording at '.*gone\.wav'"):
        load_audio(tmp_path / "gone.wav")


def test_unreadable_file(tmp_path):
    path = tmp_path / "notes.wav"
    path.write_text("not audio")
    with pytest.raises(CosyError, match=r"Cannot read '.*notes\.wav' as audio .*: convert it to WAV"):
        load_audio(path)


@pytest.mark.parametrize(
    ("samples", "rate", "sentence"),
    [
        (np.zeros(0), 24000, "is empty"),
        (np.zeros(8000), 8000, "has a sample rate of 8000 Hz: use one of at least 16000 Hz"),
        (np.zeros(31 * 16000), 16000, "is 31.0 s long: cut it to at most 30 s"),
        (np.full(16000, np.nan), 16000, "contains NaN or infinite samples"),
    ],
)
def test_unusable_recording(tmp_path, samples, rate, sentence):
    path = tmp_path / "recording.wav"
    soundfile.write(path, samples, rate, "FLOAT")
    with pytest.raises(CosyError, match=sentence) as from_file:
        load_audio(path)
    assert str(path) in str(from_file.value)
    with pytest.raises(CosyError, match=sentence):
        check_audio(samples, rate)


def test_unusable_arrays():
    with pytest.raises(CosyError, match="one-dimensional"):
        check_audio(np.zeros((2, 16000)), 16000)
    with pytest.raises(CosyError, match="int16 samples"):
        check_audio(np.zeros(16000, np.int16), 16000)


def test_thirty_seconds_pass():
    assert len(check_audio(np.zeros(30 * 16000), 16000)) == 480000
