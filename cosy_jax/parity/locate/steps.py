"""Every Euler step of the flow against a dump's.

N Euler steps, M mel bands, T frames. Arrays are laid out as in the dumps: (N, M, T).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

from cosy_jax.flow.cfm import time_steps
from cosy_jax.parity.checks.flow import solve_dump
from cosy_jax.synthesis.synthesizer import Synthesizer

STEP_VALUES = ("step_x", "step_v_cond", "step_v_uncond")  # what a step holds, as `Trace` does


class StepError(NamedTuple):
    """Absolute differences at one Euler step, of its input and of both velocities before guidance, against the dump's
    float64 where it has one, else against the dump. `t` is the dump's time."""

    step: int
    t: float
    x_mean: float
    x_max: float
    v_cond_mean: float
    v_cond_max: float
    v_uncond_mean: float
    v_uncond_max: float


class FlowRun(NamedTuple):
    """Our run of a flow dump: `dump` and `ours` have the same names and layouts, `ours` also `sizes` (N,), the steps'
    widths in t."""

    path: Path
    dump: dict[str, np.ndarray]
    ours: dict[str, np.ndarray]

    def truth(self, name: str) -> np.ndarray:
        """The dump's float64 where it has one, else the dump."""
        return self.dump.get(f"{name}_f64", self.dump[name])


def run_flow(synthesizer: Synthesizer, path: Path) -> FlowRun:
    """Solves what a flow dump was given."""
    dump = load_file(path)
    mel, condition, trace = solve_dump(synthesizer, path, dump)
    frames = int(condition.frames[0])
    times, sizes = time_steps(synthesizer.config.flow.num_steps)
    ours = {
        "mel": mel,
        "mu": np.asarray(condition.mu)[0, :frames].T,
        "cond": np.asarray(condition.cond)[0, :frames].T,
        "spks": np.asarray(condition.speaker)[0],
        "step_t": times,
        "sizes": sizes,
    }
    if trace is not None:
        parts = zip(STEP_VALUES, trace, strict=True)
        ours |= {name: np.asarray(part)[:, 0, :frames].transpose(0, 2, 1) for name, part in parts}
    return FlowRun(path, dump, ours)


def euler_steps(synthesizer: Synthesizer, path: Path) -> list[StepError]:
    """The steps of a flow dump; empty where it holds none."""
    return step_errors(run_flow(synthesizer, path))


def step_errors(run: FlowRun) -> list[StepError]:
    """`euler_steps` of a run."""
    if "step_x" not in run.dump:
        return []
    return [_step_error(run, step) for step in range(min(len(run.dump["step_x"]), len(run.ours["step_x"])))]


def _step_error(run: FlowRun, step: int) -> StepError:
    differences = (np.abs(run.ours[name][step] - run.truth(name)[step]) for name in STEP_VALUES)
    figures = [float(figure) for each in differences for figure in (each.mean(), each.max())]
    return StepError(step, float(run.dump["step_t"][step]), *figures)
