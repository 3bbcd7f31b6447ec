"""A picture of recordings above each other."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosy_jax.compare.measure import Recording
from cosy_jax.compare.pitch import F0_MAX, F0_MIN
from cosy_jax.compare.spectral import FRAME, RANGE_DB, RATE, log_mel
from cosy_jax.plot import figure_type, save_picture

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

_COLUMNS = 2000  # of a drawn waveform
_WAVE, _MEL, _F0 = 1.0, 1.4, 2.2  # inches
_F0_TICKS = (75, 100, 150, 200, 300, 400)


def plot_recordings(path: str | Path, recordings: Sequence[Recording]) -> None:
    """PNG with the waveforms, then the mels, then all F0 curves, over the same seconds.

    CosyError where matplotlib is not installed.
    """
    count = len(recordings)
    heights = [_WAVE] * count + [_MEL] * count + [_F0]
    figure = figure_type()(figsize=(11, sum(heights) + 0.6), layout="constrained")
    axes = figure.subplots(len(heights), 1, sharex=True, height_ratios=heights)
    waves, mels, pitch = axes[:count], axes[count:-1], axes[-1]
    _draw_waves(waves, recordings)
    image = _draw_mels(mels, recordings)
    figure.colorbar(image, ax=list(axes), label="mel (dB)", aspect=60)  # beside all: the time axes stay in line
    _draw_pitch(pitch, recordings)
    figure.legend(loc="outside lower left", fontsize="small")
    for axis, recording in zip(axes[:-1], [*recordings, *recordings], strict=True):
        axis.set_title(recording.path, loc="left", fontsize="small", pad=2)
    save_picture(path, figure)


def _draw_waves(axes: np.ndarray, recordings: Sequence[Recording]) -> None:
    limit = max(float(np.abs(recording.wave).max()) for recording in recordings) * 1.05
    for index, (axis, recording) in enumerate(zip(axes, recordings, strict=True)):
        low, high, times = envelope(recording.wave, recording.level.rate)
        axis.fill_between(times, low, high, color=f"C{index}", linewidth=0.4)
        axis.set(ylim=(-limit, limit), ylabel="amplitude")


def envelope(wave: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lowest and highest sample of some 2000 stretches of float (S,), and the seconds at which they start."""
    starts = np.arange(0, len(wave), max(1, len(wave) // _COLUMNS))
    return np.minimum.reduceat(wave, starts), np.maximum.reduceat(wave, starts), starts / rate


def _draw_mels(axes: np.ndarray, recordings: Sequence[Recording]) -> "AxesImage":
    mels = [log_mel(recording.narrow, RATE / 2) for recording in recordings]
    top = max(float(mel.max()) for mel in mels)
    for axis, mel in zip(axes, mels, strict=True):
        extent = (0, len(mel) * FRAME.hop / RATE, 0, FRAME.mel_bands)
        image = axis.imshow(mel.T, origin="lower", aspect="auto", extent=extent, vmin=top - RANGE_DB, vmax=top)
        axis.set(ylabel="mel band")
    return image


def _draw_pitch(axis: "Axes", recordings: Sequence[Recording]) -> None:
    for recording in recordings:
        times = (np.arange(len(recording.f0)) + 0.5) * FRAME.hop / RATE
        axis.plot(times, recording.f0, ".-", markersize=3, linewidth=1, label=recording.path)
    longest = max(recording.level.seconds for recording in recordings)
    axis.set(ylabel="F0 (Hz)", xlabel="seconds", xlim=(0, longest), ylim=(F0_MIN, F0_MAX), yscale="log")
    axis.set_yticks(_F0_TICKS, [str(hertz) for hertz in _F0_TICKS])
    axis.set_yticks([], minor=True)
    axis.grid(alpha=0.3)
