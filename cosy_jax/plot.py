"""Pictures of what was spoken; matplotlib is an extra."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.synthesis import Speech

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_type() -> "type[Figure]":
    """matplotlib's figure; CosyError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CosyError("Plots need matplotlib: pip install 'cosy_jax[plot]'.") from error
    return Figure


def plot_speech(path: str | Path, speech: Speech) -> None:
    """Waveform above mel, over seconds, as PNG. CosyError where matplotlib is not installed."""
    figure = figure_type()(figsize=(10, 5), layout="constrained")
    wave, mel = figure.subplots(2, 1, sharex=True)
    wave.plot(np.arange(len(speech.audio)) / speech.sample_rate, speech.audio, linewidth=0.4)
    wave.set(ylabel="amplitude", ylim=(-1, 1), title=f"{speech.duration:.2f} s, {len(speech.tokens)} speech tokens")
    image = mel.imshow(speech.mel.T, origin="lower", aspect="auto", extent=(0, speech.duration, 0, speech.mel.shape[1]))
    mel.set(xlabel="seconds", ylabel="mel band")
    figure.colorbar(image, ax=mel, label="log amplitude")
    figure.savefig(path, format="png", dpi=120)
