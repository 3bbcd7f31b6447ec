"""Triangular mel filter banks.

M mel bands, F frequency bins.
"""

import functools

import numpy as np

_HZ_PER_MEL = 200 / 3  # slaney: linear below the break, logarithmic above
_BREAK_HZ = 1000.0
_BREAK_MEL = _BREAK_HZ / _HZ_PER_MEL
_LOG_STEP = np.log(6.4) / 27


@functools.lru_cache
def slaney_filters(rate: int, n_fft: int, bands: int, fmin: float, fmax: float) -> np.ndarray:
    """Filters of unit area on the Auditory Toolbox mel scale, float32 (M, F = n_fft / 2 + 1); frequencies in Hz.

    Reference: librosa.filters.mel with htk=False, norm="slaney".
    """
    edges = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), bands + 2))
    bins = np.fft.rfftfreq(n_fft, 1 / rate)
    area = 2 / (edges[2:] - edges[:-2])
    return (_triangles(edges, bins) * area[:, None]).astype(np.float32)


def _hz_to_mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return float(_BREAK_MEL + np.log(hz / _BREAK_HZ) / _LOG_STEP)


def _mel_to_hz(mel: np.ndarray) -> np.ndarray:
    exponent = np.maximum(mel - _BREAK_MEL, 0)
    return np.where(mel < _BREAK_MEL, mel * _HZ_PER_MEL, _BREAK_HZ * np.exp(_LOG_STEP * exponent))


@functools.lru_cache
def kaldi_filters(rate: int, n_fft: int, bands: int, fmin: float) -> np.ndarray:
    """Filters of unit height, triangular in mel = 1127 ln(1 + Hz / 700), float32 (M, F = n_fft / 2 + 1).

    The Nyquist bin belongs to no filter. In float32 throughout, as the reference: near a filter's foot the rounding
    of the mel scale shows in the fourth digit. Reference: torchaudio.compliance.kaldi.get_mel_banks.
    """
    low, high = _kaldi_mel(np.asarray([fmin, rate / 2]))
    step = np.float32((high - low) / (bands + 1))
    bins = _kaldi_mel(np.arange(n_fft // 2, dtype=np.float32) * np.float32(rate / n_fft))
    filters = _triangles(np.float32(low) + np.arange(bands + 2, dtype=np.float32) * step, bins)
    return np.pad(filters, ((0, 0), (0, 1)))


def _kaldi_mel(hz: np.ndarray) -> np.ndarray:
    return 1127 * np.log(1 + hz / 700)


def _triangles(edges: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Triangles of height 1 between every second of the edges (M + 2,), at the bins (F,): (M, F)."""
    widths = np.diff(edges)
    rising = (bins - edges[:-2, None]) / widths[:-1, None]
    falling = (edges[2:, None] - bins) / widths[1:, None]
    return np.maximum(0, np.minimum(rising, falling))
