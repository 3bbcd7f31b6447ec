"""The three spectrograms of a prompt, computed on the host in float64 and returned as float32.

S samples, T frames, M mel bands, N FFT size.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from cosy_jax.config import PromptMelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.mel_filters import kaldi_filters, slaney_filters

RATE = 16000  # Hz, of the log-mel and the filter bank
_WINDOW = 400  # 25 ms
HOP = 160  # 10 ms

_PREEMPHASIS = 0.97
_KALDI_FFT = 512
_KALDI_FMIN = 20.0  # Hz
_KALDI_FLOOR = float(np.finfo(np.float32).eps)


def whisper_log_mel(wav: np.ndarray, bands: int = 128) -> np.ndarray:
    """Log-mel for the speech tokenizer: 16 kHz float32 (S,) -> float32 (T = S // 160, M).

    log10 of mel power, at most 8 below the loudest value, mapped by (x + 4) / 4. CosyError below 201 samples.
    Reference: whisper.audio.log_mel_spectrogram, https://arxiv.org/abs/2212.04356.
    """
    frames = _frames(_reflect(wav, _WINDOW // 2), _WINDOW, HOP)[:-1]
    power = np.abs(np.fft.rfft(frames * _hann(_WINDOW))) ** 2
    mel = power @ slaney_filters(RATE, _WINDOW, bands, 0.0, RATE / 2).T
    log_mel = np.log10(np.maximum(mel, 1e-10))
    return ((np.maximum(log_mel, log_mel.max() - 8) + 4) / 4).astype(np.float32)


def kaldi_fbank(wav: np.ndarray, bands: int = 80) -> np.ndarray:
    """Log filter-bank energies for the speaker encoder: 16 kHz float32 (S,) -> float32 (T = 1 + (S - 400) // 160, M).

    Natural log, no dither, whole frames only, samples as they are (not scaled to 16 bits). CosyError below 400 samples.
    Reference: torchaudio.compliance.kaldi.fbank with num_mel_bins=80, dither=0, sample_frequency=16000.
    """
    if len(wav) < _WINDOW:
        raise _too_short(wav, _WINDOW)
    # Float32 up to the transform, as the reference: its rounding of quiet frames shows in the result.
    frames = _frames(wav.astype(np.float32), _WINDOW, HOP)
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(_WINDOW) / (_WINDOW - 1))) ** 0.85
    windowed = (frames - np.float32(_PREEMPHASIS) * previous) * povey.astype(np.float32)
    power = np.abs(np.fft.rfft(windowed.astype(np.float64), _KALDI_FFT)) ** 2
    mel = power @ kaldi_filters(RATE, _KALDI_FFT, bands, _KALDI_FMIN).T
    return np.log(np.maximum(mel, _KALDI_FLOOR)).astype(np.float32)


def mel_spectrogram(wav: np.ndarray, config: PromptMelConfig, rate: int = 24000) -> np.ndarray:
    """Log-mel for the flow: float32 (S,) at `rate` Hz -> float32 (T = S // hop, M).

    Natural log of mel amplitude, floored at 1e-5. CosyError where S is too short to be reflected at its ends.
    Reference: matcha/utils/audio.py, mel_spectrogram.
    """
    frames = _frames(_reflect(wav, (config.n_fft - config.hop) // 2), config.n_fft, config.hop)
    spectrum = np.fft.rfft(frames * _hann(config.n_fft))
    amplitude = np.sqrt(spectrum.real**2 + spectrum.imag**2 + 1e-9)
    fmax = rate / 2 if config.fmax is None else config.fmax
    mel = amplitude @ slaney_filters(rate, config.n_fft, config.mel_bands, config.fmin, fmax).T
    return np.log(np.maximum(mel, 1e-5)).astype(np.float32)


def _reflect(wav: np.ndarray, amount: int) -> np.ndarray:
    # numpy would reflect a short signal again and again; the reference refuses it.
    if len(wav) <= amount:
        raise _too_short(wav, amount + 1)
    return np.pad(wav.astype(np.float64), amount, mode="reflect")


def _too_short(wav: np.ndarray, needed: int) -> CosyError:
    return CosyError(f"The recording has only {len(wav)} samples, at least {needed} are needed: use a longer one.")


def _frames(wav: np.ndarray, size: int, hop: int) -> np.ndarray:
    return sliding_window_view(wav, size)[::hop]


def _hann(size: int) -> np.ndarray:
    """Periodic Hann window (N,)."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
