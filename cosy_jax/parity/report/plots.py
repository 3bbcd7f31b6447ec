"""Pictures of a report, each as the bytes of a PNG file.

T frames, M mel bands, S samples.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cosy_jax.parity.locate.diagnosis import Diagnosis, Finding
from cosy_jax.parity.locate.steps import StepError
from cosy_jax.parity.locate.trace import LayerError
from cosy_jax.parity.report.outputs import AUDIO_DUMPS, MEL_DUMPS, Pair, mels, waves, worth_a_look
from cosy_jax.parity.report.report import Results
from cosy_jax.plot import figure_type
from cosy_jax.synthesis.synthesizer import Synthesizer

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH = 12  # inches
_FLOOR = 1e-9  # where an error of 0 is drawn: less than float32 can be off by without being equal
_FLOOR_NOTE = f"\n(0 drawn at {_FLOOR:g})"
_OURS, _REFERENCE = "tab:blue", "tab:orange"


def draw(synthesizer: Synthesizer, dumps: Path, results: Results, diagnosis: Diagnosis) -> dict[str, bytes]:
    """File name -> PNG of all that the dumps have data for. CosyError where matplotlib is not installed."""
    pictures = {}
    if layers := [layer for rows in diagnosis.layers.values() for layer in rows]:
        pictures["layers.png"] = layers_picture(layers, next(iter(diagnosis.findings), None))
    if steps := {dump: rows for dump, rows in diagnosis.steps.items() if rows}:
        pictures["steps.png"] = steps_picture(steps)
    if path := worth_a_look(dumps, MEL_DUMPS, results):
        pictures["mel.png"] = mel_picture(mels(synthesizer, path))
    if path := worth_a_look(dumps, AUDIO_DUMPS, results):
        pictures["audio.png"] = audio_picture(waves(synthesizer, path), synthesizer.config.sample_rate)
    return pictures


def layers_picture(layers: Sequence[LayerError], first: Finding | None) -> bytes:
    """Relative error against layer, a panel a stage; a line marks the layer that the first finding names."""
    stages = [(stage, list(group)) for stage, group in groupby(layers, lambda layer: layer.stage)]
    figure = figure_type()(figsize=(_WIDTH, 4.2 * len(stages)), layout="constrained")
    for axis, (stage, rows) in zip(figure.subplots(len(stages), 1, squeeze=False)[:, 0], stages, strict=True):
        _draw_layers(axis, rows)
        axis.set(title=stage, ylabel=f"rms error / rms{_FLOOR_NOTE}")
        names = [row.name for row in rows]
        if first and first.stage == stage and first.place in names:
            axis.axvline(names.index(first.place), color="tab:red", linewidth=1, linestyle="--", label="first finding")
        axis.legend(fontsize="small")
    return _png(figure)


def _draw_layers(axis: "Axes", rows: Sequence[LayerError]) -> None:
    positions = np.arange(len(rows))
    axis.plot(positions, _drawable([row.ours for row in rows]), ".-", color=_OURS, label="ours", zorder=3)
    reference = [np.nan if row.reference is None else row.reference for row in rows]
    if not np.isnan(reference).all():
        axis.plot(positions, _drawable(reference), ".-", color=_REFERENCE, label="the reference's own")
    axis.set_yscale("log")
    axis.set_xticks(positions, [row.name for row in rows], rotation=90, fontsize=7)
    axis.set_xlim(-0.7, len(rows) - 0.3)
    axis.grid(alpha=0.3)


def steps_picture(steps: Mapping[str, Sequence[StepError]]) -> bytes:
    """Mean and largest error of x and of both velocities against the Euler step, a row of panels a dump."""
    figure = figure_type()(figsize=(_WIDTH, 3.2 * len(steps)), layout="constrained")
    grid = figure.subplots(len(steps), 3, squeeze=False, sharex=True, sharey=True)
    for axes, (dump, rows) in zip(grid, steps.items(), strict=True):
        for axis, field in zip(axes, ("x", "v_cond", "v_uncond"), strict=True):
            for kind, style in (("mean", ".-"), ("max", ".--")):
                errors = [getattr(row, f"{field}_{kind}") for row in rows]
                axis.plot([row.step for row in rows], _drawable(errors), style, color=_OURS, label=kind)
            axis.set(yscale="log", title=f"{dump}: {field}")
            axis.grid(alpha=0.3)
        axes[0].set_ylabel(f"absolute error{_FLOOR_NOTE}")
        axes[0].legend(fontsize="small")
    for axis in grid[-1]:
        axis.set_xlabel("Euler step")
        axis.xaxis.get_major_locator().set_params(integer=True)
    return _png(figure)


def _drawable(errors: Sequence[float]) -> np.ndarray:
    return np.maximum(np.asarray(errors, np.float64), _FLOOR)


def mel_picture(pair: Pair) -> bytes:
    """Our mel (T, M) above the reference's above the absolute difference, over frames."""
    figure, axes = _three_rows()
    low, high = float(pair.theirs.min()), float(pair.theirs.max())
    for axis, name, mel in zip(axes[:2], ("ours", "the reference's"), pair[1:], strict=True):
        image = axis.imshow(mel.T, origin="lower", aspect="auto", vmin=low, vmax=high, interpolation="nearest")
        axis.set(title=f"{pair.dump}: {name}", ylabel="mel band")
    figure.colorbar(image, ax=list(axes[:2]), label="log amplitude")
    error = np.abs(_difference(pair))
    image = axes[2].imshow(error.T, origin="lower", aspect="auto", cmap="magma", interpolation="nearest")
    axes[2].set(title=_error_title(error), ylabel="mel band", xlabel="frame (50 a second)")
    figure.colorbar(image, ax=axes[2], label="absolute error", format="%.1e")
    return _png(figure)


def audio_picture(pair: Pair, sample_rate: int) -> bytes:
    """Our samples (S,) above the reference's above the difference, which has a scale of its own, over seconds."""
    figure, axes = _three_rows()
    error = _difference(pair)
    curves = ((f"{pair.dump}: ours", pair.ours), (f"{pair.dump}: the reference's", pair.theirs))
    for axis, (title, samples) in zip(axes, (*curves, (_error_title(np.abs(error)), error)), strict=True):
        axis.plot(np.arange(len(samples)) / sample_rate, samples, linewidth=0.4, color=_OURS)
        axis.set(title=title, ylabel="amplitude")
        axis.grid(alpha=0.3)
        axis.margins(x=0)
    largest = max(float(np.abs(pair.theirs).max()), 1e-3) * 1.05
    for axis in axes[:2]:
        axis.set_ylim(-largest, largest)
    axes[2].set(ylabel="difference", xlabel="seconds")
    axes[2].ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
    return _png(figure)


def _three_rows() -> tuple["Figure", np.ndarray]:
    figure = figure_type()(figsize=(_WIDTH, 7.5), layout="constrained")
    return figure, figure.subplots(3, 1, sharex=True)


def _difference(pair: Pair) -> np.ndarray:
    shared = min(len(pair.ours), len(pair.theirs))
    return pair.ours[:shared] - pair.theirs[:shared]


def _error_title(error: np.ndarray) -> str:
    return f"difference: mean {error.mean():.2e}, max {error.max():.2e}"


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()
