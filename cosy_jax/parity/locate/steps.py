"""Every Euler step of the flow against a dump's.

N Euler steps, M mel bands, T frames. Arrays are laid out as in the dumps: (N, M, T).
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cosy_jax.parity.checks.flow import STEP_VALUES, FlowRun, run_flow
from cosy_jax.synthesis.synthesizer import Synthesizer


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


def euler_steps(synthesizer: Synthesizer, path: Path) -> list[StepError]:
    """The steps of a flow dump; empty where it holds none of our shape."""
    return step_errors(run_flow(synthesizer, path))


def step_errors(run: FlowRun) -> list[StepError]:
    """`euler_steps` of a run."""
    if "step_x" not in run.dump or run.dump["step_x"].shape[1:] != run.ours["step_x"].shape[1:]:
        return []
    return [_step_error(run, step) for step in range(min(len(run.dump["step_x"]), len(run.ours["step_x"])))]


def _step_error(run: FlowRun, step: int) -> StepError:
    differences = (np.abs(run.ours[name][step] - run.truth(name)[step]) for name in STEP_VALUES)
    figures = [float(figure) for each in differences for figure in (each.mean(), each.max())]
    return StepError(step, float(run.dump["step_t"][step]), *figures)
