"""A picture of what was spoken."""

from pathlib import Path

import numpy as np

from cosy_jax.plot import figure_type, save_picture
from cosy_jax.synthesis.synthesizer import Speech


def plot_speech(path: str | Path, speech: Speech) -> None:
    """Waveform above mel, over seconds, as PNG. CosyError where matplotlib is not installed."""
    figure = figure_type()(figsize=(10, 5), layout="constrained")
    wave, mel = figure.subplots(2, 1, sharex=True)
    wave.plot(np.arange(len(speech.audio)) / speech.sample_rate, speech.audio, linewidth=0.4)
    wave.set(ylabel="amplitude", ylim=(-1, 1), title=f"{speech.duration:.2f} s, {len(speech.tokens)} speech tokens")
    image = mel.imshow(speech.mel.T, origin="lower", aspect="auto", extent=(0, speech.duration, 0, speech.mel.shape[1]))
    mel.set(xlabel="seconds", ylabel="mel band")
    figure.colorbar(image, ax=mel, label="log amplitude")
    save_picture(path, figure)
