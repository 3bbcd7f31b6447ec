"""The vocoder's training against its dump: every loss, the gradient of every parameter, three steps of Adam.

All is taken in float64, which has to agree with the reference's to rounding, and in float32, which may be as far from
it as the reference's own float32.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import FLOAT32, FLOAT64, Precision
from cosy_jax.parity.check import Check
from cosy_jax.parity.checks.training_names import discriminator_values, generator_values, seeded_discriminators
from cosy_jax.parity.dumps import Dump, read_dump, read_metadata
from cosy_jax.parity.sketch import sketch
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.train.vocoder.config import DiscriminatorConfig, GanConfig
from cosy_jax.train.vocoder.losses import Batch
from cosy_jax.train.vocoder.steps import (
    Draws,
    d_gradients,
    g_gradients,
    step,
    with_adams,
)
from cosy_jax.train.vocoder.weight_norm import unfold

_LOSS_LIMIT, _GRADIENT_LIMIT = 1e-6, 1e-5
_WORSE = 3.0  # float32 rounds by chance: what its errors may be, over the reference's own
_STEPS = 3
_LOSSES = {
    "d": {"loss": "loss", "disc": "disc", "tpr": "tpr"},
    "g": {"loss": "loss", "gen": "gen", "features": "fm", "mel": "mel", "tpr": "tpr", "f0": "f0"},
}
_MODULES: dict[str, tuple[str, Callable[[dict], dict[str, np.ndarray]]]] = {
    "d": ("discriminators", discriminator_values),
    "g": ("generator", generator_values),
}


class _Run(NamedTuple):
    """Losses by the dump's names, and by "d_gradient" and so on the reference's name of each parameter to its values
    in the reference's layout."""

    losses: dict[str, float]
    values: dict[str, dict[str, np.ndarray]]


def check_training_vocoder(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Losses, gradients and updates of both modules, in float64 and in float32."""
    dump = read_dump(path, synthesizer.config)
    config = _config(synthesizer, path)
    start = {"g": unfold(synthesizer.params("vocoder")), "d": seeded_discriminators(config)}
    checks = []
    for precision in (FLOAT64, FLOAT32):
        run = _in(precision, _train, start, dump, config, precision)
        checks += [_loss_check(name, value, dump, precision) for name, value in run.losses.items()]
        checks += [_worst(kind, values, dump, precision) for kind, values in run.values.items()]
    return checks


def _config(synthesizer: Synthesizer, path: Path) -> GanConfig:
    about = read_metadata(path)
    sizes = f"{about.get('period_channels', '')} {about.get('spectral_channels', '')}"
    if not re.fullmatch(r"([1-9]\d{0,3} ){5}[1-9]\d{0,3}", sizes):
        raise CosyError(f"{path} does not say how wide its discriminators are: capture or copy it again.")
    *periods, spectral = map(int, sizes.split())
    discriminators = DiscriminatorConfig(period_channels=tuple(periods), spectral_channels=spectral)
    return GanConfig(synthesizer.config.vocoder, synthesizer.config.prompt_mel, discriminators)


def _in(precision: Precision, function: Callable[..., Any], *args: Any) -> Any:
    if precision == FLOAT32:
        return function(*args)
    with jax.enable_x64(True):
        return function(*args)


def _train(start: dict[str, Any], dump: Dump, config: GanConfig, precision: Precision) -> _Run:
    def cast(tree: Any) -> Any:
        return jax.tree.map(lambda value: np.asarray(value, precision.compute), tree)

    batch = cast(Batch(dump["speech"], dump["mel"], dump["f0"]))
    draws = cast(Draws(dump["d_noise"], dump["g_noise"]))
    start = cast(start)
    options: dict[str, Any] = {"config": config, "precision": precision}
    found = {
        "d": d_gradients(start["d"], start["g"], batch, draws.discriminator, **options),
        "g": g_gradients(start["g"], start["d"], batch, draws.generator, **options),
    }
    state = with_adams(start["g"], start["d"], config)
    for _ in range(_STEPS):
        state, _ = step(state, batch, draws, **options)
    losses: dict[str, float] = {}
    values: dict[str, dict[str, np.ndarray]] = {}
    for turn, ((loss, terms), gradient) in found.items():
        ours = {"loss": loss, **terms}
        losses |= {f"{turn}_{theirs}": float(ours[name]) for name, theirs in _LOSSES[turn].items()}
        module, as_reference = _MODULES[turn]
        after = getattr(state, module)
        moved = jax.tree.map(lambda new, old: np.asarray(new, np.float64) - np.asarray(old), after, start[turn])
        values[f"{turn}_gradient"] = as_reference(gradient)
        values[f"{turn}_update"] = as_reference(moved)
    return _Run(losses, values)


def _loss_check(name: str, ours: float, dump: Dump, precision: Precision) -> Check:
    theirs, truth = float(dump[name][0]), float(dump[f"{name}_f64"][0])
    error, own = abs(ours / truth - 1), abs(theirs / truth - 1)
    limit = _LOSS_LIMIT if precision == FLOAT64 else max(_LOSS_LIMIT, _WORSE * own)
    note = f"relative; the reference's float32: {own:.1e}"
    return Check(f"{name}, {precision.name}", f"{limit:.1e} of it", error <= limit, error, note=note)


def _worst(kind: str, ours: dict[str, np.ndarray], dump: Dump, precision: Precision) -> Check:
    """The parameter that is farthest beyond its limit, errors being in norms of the truth."""
    names = sorted(ours)
    text = f"{_GRADIENT_LIMIT:g} of its norm"
    truth, norms = dump[f"{kind}s_f64"], dump[f"{kind}_norms"]
    rows = np.stack([sketch(name, ours[name]) for name in names])
    if rows.shape != truth.shape:
        return Check(f"{kind}s, {precision.name}", text, False, note=f"shape {rows.shape}, reference {truth.shape}")
    error, own = (np.sqrt(np.mean((each - truth) ** 2, axis=1)) / norms for each in (rows, dump[f"{kind}s"]))
    limits = np.full(len(names), _GRADIENT_LIMIT)
    if precision == FLOAT32:
        limits, text = np.maximum(limits, _WORSE * own.max()), f"{text}, or {_WORSE:g} x reference's worst"
    at = int(np.argmax(error / limits))
    worst = int(np.argmax(own))
    note = f"{names[at]}; median {np.median(error):.1e}; the reference's float32: {own[worst]:.1e} at {names[worst]}"
    note += f", median {np.median(own):.1e}"
    return Check(f"{kind}s, {precision.name}", text, bool((error <= limits).all()), float(error[at]), note=note)
