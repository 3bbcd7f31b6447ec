"""What can be wrong with the flow beside its layers: condition, noise, time steps, guidance, a later step.

N Euler steps, M mel bands, T frames.
"""

from collections.abc import Iterator, Mapping

import numpy as np

from cosy_jax.parity.checks.flow import STEP_VALUES, FlowRun
from cosy_jax.parity.locate.finding import Finding
from cosy_jax.parity.locate.growth import Growth, describe
from cosy_jax.parity.locate.trace import LayerError, error_of, relative_rms

STAGE = "flow"
_NOISE_LIMIT = 1e-5  # Box-Muller in float32, in two libraries: 4e-7
_TIME_LIMIT = 1e-6
_RATE_LIMIT = 1e-2  # recovered from float32 steps to 1e-6
_UNEXPLAINED = 1e-3  # of a step, that no rate accounts for: 2e-6 in float32


def condition_fault(run: FlowRun, growth: Growth) -> Finding | None:
    """The first of mu, spks and cond that is off."""
    layers = list(_compared(run, ("mu", "spks", "cond")))
    index = growth.first_beyond(layers)
    if index is None:
        return None
    return Finding(STAGE, f"condition {layers[index].name}", f"{run.path.stem}: {describe(layers, index)}", "")


def noise_fault(run: FlowRun, growth: Growth) -> Finding | None:
    """x(0) is not the reference's."""
    ours, theirs = run.ours["step_x"][0], run.truth("step_x")[0]
    error = relative_rms(ours, theirs)
    if error <= max(_NOISE_LIMIT, growth.dump.floor):
        return None
    if ours.shape != theirs.shape:
        return Finding(STAGE, "initial noise", f"x(0) has shape {ours.shape}, the reference's {theirs.shape}", "")
    likely = "another seed: both are normal noise, and independent" if _independent_normals(ours, theirs) else ""
    return Finding(STAGE, "initial noise", f"{run.path.stem}: x(0) is {compare_noises(ours, theirs, error)}", likely)


def compare_noises(ours: np.ndarray, theirs: np.ndarray, error: float) -> str:
    """How two noises of one shape differ, in words."""
    figures = (ours.mean(), ours.std(), theirs.mean(), theirs.std(), correlation(ours, theirs))
    return "off by {:.1e}: mean {:.3f}, std {:.3f}; the reference's {:.3f}, {:.3f}; correlation {:.2f}".format(
        error, *figures
    )


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's, of arrays of one shape."""
    return float(np.corrcoef(x.ravel(), y.ravel())[0, 1])


def _independent_normals(x: np.ndarray, y: np.ndarray) -> bool:
    spread = 5 / np.sqrt(x.size)  # of the statistics below, five standard deviations
    normal = all(abs(noise.mean()) < spread and abs(noise.std() - 1) < spread for noise in (x, y))
    return bool(normal and abs(correlation(x, y)) < spread)


def time_fault(run: FlowRun, growth: Growth) -> Finding | None:
    """The steps begin at other times, or there are more or fewer."""
    ours, theirs = run.ours["step_t"], run.dump["step_t"]
    if len(ours) != len(theirs):
        return Finding(STAGE, "time steps", f"our run takes {len(ours)} Euler steps, the reference {len(theirs)}", "")
    off = np.flatnonzero(~(np.abs(ours - theirs) <= max(_TIME_LIMIT, growth.dump.floor)))
    if not off.size:
        return None
    step = int(off[0])
    what = f"our step {step} begins at t = {ours[step]:.6f}, the reference's at {theirs[step]:.6f}"
    return Finding(STAGE, "time steps", what, "")


def guidance_fault(run: FlowRun) -> Finding | None:
    """The velocities are combined with another rate."""
    ours = _rate(run.ours, run.ours["sizes"])
    theirs = _rate({name: run.truth(name) for name in STEP_VALUES}, np.diff(run.dump["step_t"]))
    if ours is None or theirs is None or abs(ours - theirs) <= _RATE_LIMIT:
        return None
    what = (
        f"our run combines the velocities with rate {ours:z.2f}, the reference with {theirs:z.2f} "
        f"(r in x(i+1) - x(i) = dt ((1 + r) v_cond - r v_uncond), by least squares)"
    )
    return Finding(STAGE, "guidance", what, f"guidance_rate: the reference's is {theirs:z.2f}")


def _rate(values: Mapping[str, np.ndarray], sizes: np.ndarray) -> float | None:
    """The rate r at which a run's own steps combine its own velocities; None where no rate explains them."""
    x, v_cond, v_uncond = (values[name].astype(np.float64) for name in STEP_VALUES)
    if len(x) < 2:
        return None
    dt = sizes[: len(x) - 1, None, None].astype(np.float64)
    moved = np.diff(x, axis=0)
    rest, guided = moved - dt * v_cond[:-1], dt * (v_cond - v_uncond)[:-1]
    rate = float(np.sum(rest * guided) / np.sum(guided**2))
    return rate if relative_rms(rest - rate * guided + moved, moved) < _UNEXPLAINED else None


def later_fault(run: FlowRun, growth: Growth) -> Finding | None:
    """The first value after the condition that is off: of the Euler steps, or the mel."""
    layers = [*_steps(run), *_compared(run, ("mel",))]
    index = growth.first_beyond(layers)
    if index is None:
        return None
    return Finding(STAGE, layers[index].name, f"{run.path.stem}: {describe(layers, index)}", "")


def _compared(run: FlowRun, names: tuple[str, ...]) -> Iterator[LayerError]:
    for name in names:
        yield error_of(STAGE, name, run.ours[name], run.dump[name], run.dump.get(f"{name}_f64"))


def _steps(run: FlowRun) -> Iterator[LayerError]:
    for step in range(len(run.dump.get("step_x", ()))):
        for name in STEP_VALUES:
            truth = run.dump.get(f"{name}_f64")
            ours, theirs = run.ours[name][step], run.dump[name][step]
            label = f"{name.removeprefix('step_')} of step {step}"
            yield error_of(STAGE, label, ours, theirs, None if truth is None else truth[step])
