"""Recordings: reading, checking and resampling, on the host.

S samples, K kernel taps, P phases (outputs per period of the reduced ratio).
"""

import math
from pathlib import Path

import numpy as np
import soundfile
from numpy.lib.stride_tricks import sliding_window_view

from cosy_jax.errors import CosyError

Audio = tuple[np.ndarray, int]  # float32 (S,) in [-1, 1], and its rate in Hz

MIN_RATE = 16000  # Hz
MAX_SECONDS = 30.0  # the speech tokenizer was trained on no more

_FILTER_WIDTH = 6  # zero crossings each side
_ROLLOFF = 0.99


def load_audio(path: str | Path, max_seconds: float | None = MAX_SECONDS) -> Audio:
    """Read a recording, its channels averaged: float32 (S,) and the sample rate in Hz.

    CosyError if it is missing, unreadable, empty, below 16 kHz, longer than `max_seconds` (None: no limit) or holds
    values that are not finite.
    Reference: cosyvoice/utils/file_utils.py, load_wav.
    """
    path = Path(path)
    if not path.is_file():
        raise CosyError(f"No recording at '{path}': give the path of an existing audio file.")
    try:
        with soundfile.SoundFile(path) as file:
            rate = file.samplerate
            _check_format(file.frames, rate, f"The recording '{path}'", max_seconds)
            samples = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise CosyError(
            f"Cannot read '{path}' as audio ({error.error_string}): convert it to WAV, FLAC, OGG or MP3."
        ) from error
    return check_audio(samples.mean(axis=1), rate, f"The recording '{path}'", max_seconds), rate


def check_audio(
    samples: np.ndarray, rate: int, name: str = "The recording", max_seconds: float | None = MAX_SECONDS
) -> np.ndarray:
    """The samples (S,) as float32; CosyError, beginning with `name`, for what no prompt can be made from, or what is
    longer than `max_seconds` (None: no limit)."""
    samples = np.asarray(samples)
    if samples.ndim != 1:
        raise CosyError(f"{name} has shape {samples.shape}: pass one channel as a one-dimensional array.")
    if not np.issubdtype(samples.dtype, np.floating):
        raise CosyError(f"{name} holds {samples.dtype} samples: scale them to floats between -1 and 1.")
    _check_format(len(samples), rate, name, max_seconds)
    if not np.isfinite(samples).all():
        raise CosyError(f"{name} contains NaN or infinite samples: record or export it again.")
    return samples.astype(np.float32)


def _check_format(length: int, rate: int, name: str, max_seconds: float | None) -> None:
    if rate < MIN_RATE:
        raise CosyError(f"{name} has a sample rate of {rate} Hz: use one of at least {MIN_RATE} Hz.")
    if length == 0:
        raise CosyError(f"{name} is empty: use one of a few seconds of speech.")
    if max_seconds is not None and length > max_seconds * rate:
        raise CosyError(f"{name} is {length / rate:.1f} s long: cut it to at most {max_seconds:.0f} s.")


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
