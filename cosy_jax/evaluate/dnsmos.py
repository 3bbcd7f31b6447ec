"""DNSMOS P.835: how good a recording sounds to a network that was trained on listeners' opinions.

https://arxiv.org/abs/2110.01763; its file is `sig_bak_ovr.onnx` of https://github.com/microsoft/DNS-Challenge, which
also publishes the polynomials (DNSMOS/dnsmos_local.py).

S samples, W windows.
"""

from pathlib import Path

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError
from cosy_jax.evaluate.onnx_model import open_onnx

_RATE = 16000  # Hz
_WINDOW, _HOP = 144160, 16000  # samples: 9.01 s, moved by 1 s
# From what the network gives to opinions of 1 to 5: signal, background, overall; highest power first.
_POLYNOMIALS = {
    "signal": (-0.08397278, 1.22083953, 0.0052439),
    "background": (-0.13166888, 1.60915514, -0.39604546),
    "overall": (-0.06766283, 1.11546468, 0.04602535),
}


class Dnsmos:
    """The network of one file."""

    def __init__(self, path: str | Path) -> None:
        """CosyError where the file is no network of one waveform and three figures."""
        self._session = open_onnx(path)
        shape = self._session.get_inputs()[0].shape
        if len(shape) != 2 or isinstance(shape[1], int) and shape[1] != _WINDOW:  # the published file names no size
            raise CosyError(f"{path} is not DNSMOS P.835, which takes 9.01 s of sound: give sig_bak_ovr.onnx.")
        self._path = path

    def score(self, samples: np.ndarray, rate: int) -> dict[str, float]:
        """Opinions of samples float32 (S,), S > 0, of `rate` Hz: the means over all windows. A shorter recording is
        repeated until it fills one."""
        wave = resample(samples, rate, _RATE)
        while len(wave) < _WINDOW:
            wave = np.concatenate([wave, wave])
        # The published program counts whole seconds, and leaves out a last window that would just fit.
        count = int(len(wave) // _RATE - _WINDOW / _RATE) + 1
        windows = [wave[start : start + _WINDOW] for start in range(0, count * _HOP, _HOP)]
        raw = np.array([self._window(window) for window in windows], np.float64)
        return {
            name: float(np.polyval(polynomial, raw[:, column]).mean())
            for column, (name, polynomial) in enumerate(_POLYNOMIALS.items())
        }

    def _window(self, window: np.ndarray) -> np.ndarray:
        found = self._session.run(None, {self._session.get_inputs()[0].name: window[None].astype(np.float32)})[0]
        if np.size(found) != len(_POLYNOMIALS):
            raise CosyError(f"{self._path} gives {np.size(found)} figures, DNSMOS P.835 three: give sig_bak_ovr.onnx.")
        if not np.isfinite(found).all():
            raise CosyError(f"{self._path} gives figures that are not finite: give sig_bak_ovr.onnx.")
        return np.reshape(found, -1)
