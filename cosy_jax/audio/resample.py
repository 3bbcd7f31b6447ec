"""Band-limited resampling, on the host.

S samples, K kernel taps, P phases (outputs per period of the reduced ratio).
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

_FILTER_WIDTH = 6  # zero crossings each side
_ROLLOFF = 0.99


def resample(x: np.ndarray, from_hz: int, to_hz: int) -> np.ndarray:
    """Band-limited resampling, float32 (S,) -> float32 (ceil(S * to_hz / from_hz),).

    Sinc of 6 zero crossings under a squared-cosine (Hann) window, cut off at 0.99 of the lower Nyquist frequency.
    Reference: torchaudio.transforms.Resample with its defaults; J. O. Smith, https://ccrma.stanford.edu/~jos/resample.
    """
    if from_hz == to_hz:
        return x.astype(np.float32)
    divisor = math.gcd(from_hz, to_hz)
    down, up = from_hz // divisor, to_hz // divisor
    starts, kernel = _polyphase_kernel(down, up)
    taps = kernel.shape[1]
    length = -(-len(x) * up // down)
    periods = -(-length // up)
    left = -int(starts.min())
    right = max(0, (periods - 1) * down + int(starts.max()) + taps - len(x))
    windows = sliding_window_view(np.pad(x.astype(np.float32), (left, right)), taps)
    output = np.empty((periods, up), np.float32)
    for phase, start in enumerate(starts + left):
        output[:, phase] = windows[start::down][:periods] @ kernel[phase]
    return output.reshape(-1)[:length]


def _polyphase_kernel(down: int, up: int) -> tuple[np.ndarray, np.ndarray]:
    """Input offset of the first tap int (P,), and taps float32 (P, K), of each output phase.

    Only the taps under the window are kept: with a ratio that does not reduce (44101 Hz), the dense kernel of the
    reference would hold a billion numbers.
    """
    cutoff = min(down, up) * _ROLLOFF
    width = math.ceil(_FILTER_WIDTH * down / cutoff)
    phases = np.arange(up)
    starts = phases * down // up - width
    offsets = starts[:, None] + np.arange(2 * width + 2)
    # The reference divides the phase in float32 and all else in float64; the rounding shows in the fifth digit.
    delay = (phases.astype(np.float32) / np.float32(up)).astype(np.float64)
    t = np.clip((offsets / down - delay[:, None]) * cutoff, -_FILTER_WIDTH, _FILTER_WIDTH)
    window = np.cos(t * np.pi / _FILTER_WIDTH / 2) ** 2
    return starts, (np.sinc(t) * window * cutoff / down).astype(np.float32)
