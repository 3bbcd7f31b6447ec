"""Signals whose figures are known, at 24 kHz."""

import numpy as np

RATE = 24000


def voice(hertz, seconds=0.5):
    """A tone of five harmonics, float32 (S,), peak near 0.4."""
    t = np.arange(round(RATE * seconds)) / RATE
    return sum(0.2 / n * np.sin(2 * np.pi * n * hertz * t) for n in range(1, 6)).astype(np.float32)


def noise(seconds=0.5, seed=0):
    """White noise of RMS 0.1, float32 (S,)."""
    return np.random.default_rng(seed).normal(scale=0.1, size=round(RATE * seconds)).astype(np.float32)


def pause(seconds):
    return np.zeros(round(RATE * seconds), np.float32)


def melody(*notes):
    """Tones of (Hz, seconds) after each other."""
    return np.concatenate([voice(hertz, seconds) for hertz, seconds in notes])
