import numpy as np
import pytest

from cosy_jax.config import PromptMelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.features import kaldi_fbank, mel_spectrogram, whisper_log_mel
from cosy_jax.prompt.mel_filters import kaldi_filters, slaney_filters

MEL = PromptMelConfig()


def test_silence():
    silence = np.zeros(24000, np.float32)
    np.testing.assert_array_equal(whisper_log_mel(silence), np.full((150, 128), -1.5, np.float32))
    np.testing.assert_allclose(kaldi_fbank(silence), np.log(np.finfo(np.float32).eps))
    mel = mel_spectrogram(silence, MEL)
    assert mel.shape == (50, 80)
    np.testing.assert_allclose(mel, np.log(1e-5))


def test_whisper_dynamic_range():
    wav = np.random.default_rng(0).standard_normal(16000)
    wav[8000:] *= 1e-9
    mel = whisper_log_mel(wav)
    assert mel.max() - mel.min() == pytest.approx(2)  # eight decades of power, divided by four


def test_filter_bank_ignores_the_offset():
    wav = np.random.default_rng(0).standard_normal(8000)
    np.testing.assert_allclose(kaldi_fbank(wav + 0.25), kaldi_fbank(wav), atol=1e-4)


@pytest.mark.parametrize("hertz", [600, 1000, 3500])
def test_tone_lands_in_its_band(hertz):
    tone16, tone24 = (np.sin(2 * np.pi * hertz * np.arange(rate) / rate) for rate in (16000, 24000))
    for features, filters, top in (
        (whisper_log_mel(tone16), slaney_filters(16000, 400, 128, 0.0, 8000.0), 8000),
        (kaldi_fbank(tone16), kaldi_filters(16000, 512, 80, 20.0), 8000),
        (mel_spectrogram(tone24, MEL), slaney_filters(24000, 1920, 80, 0.0, 12000.0), 12000),
    ):
        nearest = round(hertz / top * (filters.shape[1] - 1))
        assert abs(features[20].argmax() - filters[:, nearest].argmax()) <= 1


def test_window_confines_a_tone():
    tone16, tone24 = (np.sin(2 * np.pi * 1006 * np.arange(rate) / rate) for rate in (16000, 24000))
    whisper, mel = whisper_log_mel(tone16)[20], mel_spectrogram(tone24, MEL)[20]
    assert whisper[-1] == pytest.approx(whisper.max() - 2, abs=1e-4)
    assert mel[-1] == pytest.approx(np.log(1e-5))


def test_slaney_filters_have_unit_area():
    filters = slaney_filters(24000, 1920, 80, 0.0, 12000.0)
    area = filters[30:].sum(axis=1) * 12.5  # Hz a bin; the narrow filters below fall between bins
    np.testing.assert_allclose(area, 1, atol=0.01)


@pytest.mark.parametrize(
    ("feature", "needed"),
    [(whisper_log_mel, 201), (kaldi_fbank, 400), (lambda wav: mel_spectrogram(wav, MEL), 721)],
)
def test_too_short(feature, needed):
    with pytest.raises(CosyError, match=f"only {needed - 1} samples, at least {needed} are needed"):
        feature(np.zeros(needed - 1, np.float32))
    assert len(feature(np.zeros(needed, np.float32))) == 1
