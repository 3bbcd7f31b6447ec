"""Figures of a run: lines, TensorBoard and a picture."""

import math
import time
from typing import Any

import jax

from cosy_jax.errors import CosyError
from cosy_jax.plot import figure_type, save_picture
from cosy_jax.train.run_folder import RunFolder


class Reporter:
    """Collects the figures of steps and writes their means."""

    def __init__(self, folder: RunFolder, unit: str, product_rate: float) -> None:
        """`product_rate`: the FLOP/s that products of matrices reach here."""
        self._folder, self._unit, self._product_rate = folder, unit, product_rate
        self._begin_anew()
        self._board = _board(folder)

    def _begin_anew(self) -> None:
        self._steps: list[dict[str, jax.Array]] = []
        self._positions, self._flops, self._since = 0, 0.0, time.perf_counter()

    def add(self, figures: dict[str, jax.Array], positions: int, flops: float) -> None:
        """Those of a step, still on the device, how many positions it computed, and its FLOPs, nan where they are not
        known."""
        self._steps.append(figures)
        self._positions += positions
        self._flops += flops

    def means(self) -> dict[str, float]:
        """Over the steps since the last call, with seconds a step, the rate, "frames_per_second", and where FLOPs are
        known the share of the machine's product rate."""
        found = jax.device_get(self._steps)
        seconds = time.perf_counter() - self._since
        means = {name: float(sum(step[name] for step in found) / len(found)) for name in found[0]}
        rates = {"seconds_per_step": seconds / len(found), f"{self._unit}_per_second": self._positions / seconds}
        if math.isfinite(self._flops):
            rates["product_share"] = self._flops / seconds / self._product_rate
        self._begin_anew()
        return means | rates

    def write(self, step: int, figures: dict[str, Any]) -> None:
        """A line of metrics.jsonl, and the same for TensorBoard."""
        self._folder.add({"step": step, **figures})
        if self._board is not None:
            for name, value in figures.items():
                self._board.add_scalar(name, value, step)

    def draw(self) -> None:
        """losses.png: every loss over steps, held-out ones dashed; nothing where matplotlib is not installed."""
        if not self._folder.writes:
            return
        try:
            figure = figure_type()(figsize=(9, 5), layout="constrained")
        except CosyError:
            return
        axes = figure.subplots()
        lines = self._folder.metrics()
        for name in sorted({name for line in lines for name in line if name.endswith("loss")}):
            points = [(line["step"], line[name]) for line in lines if name in line]
            style = {"linestyle": "--", "marker": "o"} if name.startswith("held_out") else {"linewidth": 0.8}
            axes.plot(*zip(*points, strict=True), label=name, **style)
        axes.set(xlabel="step", ylabel="loss", yscale="log")
        axes.legend()
        axes.grid(alpha=0.3)
        save_picture(self._folder.path / "losses.png", figure)

    def close(self) -> None:
        """Writes what TensorBoard still has to be told."""
        if self._board is not None:
            self._board.close()


def _board(folder: RunFolder) -> Any:
    """TensorBoard's writer; None where tensorboardX is not installed, and in all processes but the first."""
    if not folder.writes:
        return None
    try:
        from tensorboardX import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder.path / "tensorboard"))
