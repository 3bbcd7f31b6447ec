"""Faster or slower speech of the same pitch: the mel is stretched over time before the vocoder.

T frames in, N frames out, M mel bands.
"""

import numpy as np

from cosy_jax.errors import CosyError

MIN_SPEED, MAX_SPEED = 0.5, 2.0


def check_speed(speed: float) -> None:
    """CosyError for a speed outside 0.5 to 2."""
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise CosyError(f"The speed {speed:g} is not supported: use one from {MIN_SPEED:g} to {MAX_SPEED:g}.", "speed")


def change_speed(mel: np.ndarray, speed: float) -> np.ndarray:
    """A mel float32 (T, M) interpolated linearly to N = int(T / speed) frames, float32 (N, M).

    Frame centres are aligned, ends repeat the outermost frame. Reference: cosyvoice/cli/model.py, token2wav, which
    calls torch.nn.functional.interpolate(mode="linear", align_corners=False).
    """
    check_speed(speed)
    if speed == 1.0:
        return mel
    length = len(mel)
    size = int(length / speed)
    # Rounded to float32 where torch rounds: at frame 15000 that moves a position by a thousandth of a frame.
    position = (np.arange(size) + 0.5) * np.float64(np.float32(length / size)) - 0.5
    position = np.maximum(position.astype(np.float32), 0)
    left = position.astype(np.int64)
    right = np.minimum(left + 1, length - 1)
    weight = (position - left.astype(np.float32))[:, None]
    return (1 - weight) * mel[left] + weight * mel[right]
