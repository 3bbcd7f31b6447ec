"""Training: one batch's loss, the gradient of every parameter, and what three Adam steps on it add.

The judge is the reference in float64. Ours is run in float64 too, which shows that it is the same function, and in
float32, as it trains; an error of the latter counts where it is larger than the reference's own in float32. The steps
are compared in float64 alone: Adam divides a gradient by its own size, so that in float32 one that is nearly nothing
moves a parameter as far as any other, in a direction that is rounding.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.traverse_util import flatten_dict

from cosy_jax.conversions.mapping import Rule, alternatives
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.flow.dit import Kept
from cosy_jax.nn.precision import FLOAT32, FLOAT64, Precision
from cosy_jax.parity.check import Check
from cosy_jax.parity.dumps import Dump, read_dump, read_metadata
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.train.flow.loss import DROPOUT, DROPPED_SHARE, STREAMING_SHARE, FlowBatch, FlowDraws, flow_loss
from cosy_jax.train.llm.layout import stack_rows, takes_turns, training_row
from cosy_jax.train.llm.loss import llm_loss
from cosy_jax.train.totals import Totals

_LOSS_LIMIT, _LIMIT, _SAME = 1e-6, 1e-5, 1e-9
_WORSE = 1.5  # than the reference's own error
_STEPS, _LEARNING_RATE = 3, 1e-5
_TRUTH, _ROWS = "_f64", "#rows"

Loss = Callable[[Any, Precision], Totals]
Named = dict[str, np.ndarray]


class Learnt(NamedTuple):
    """What one batch teaches: mean loss, further means, and by our parameter's path its gradient and update."""

    loss: float
    means: dict[str, float]
    gradients: Named
    updates: Named


def check_llm_training(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """training_llm_*.safetensors."""
    dump, config = read_dump(path, synthesizer.config), synthesizer.config.llm
    coin = _coin(path)

    def ids(name: str, row: int) -> list[int]:
        return dump[name][row, : dump[f"{name}_len"][row]].tolist()

    rows = []
    for row in range(len(dump["text"])):
        instruct, text, speech = (ids(name, row) for name in ("instruct", "text", "speech"))
        rows.append(training_row(instruct, text, speech, config, takes_turns(coin, len(text), len(speech), config)))
    batch = stack_rows(rows, max(len(row.ids) for row in rows))
    return _check(synthesizer, dump, "llm", lambda params, precision: llm_loss(
        params, batch, config=config, precision=precision))  # fmt: skip


def check_flow_training(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """training_flow_*.safetensors."""
    dump, config = read_dump(path, synthesizer.config), synthesizer.config.flow

    def kept(block: int, place: str, precision: Precision) -> jax.Array:
        return jnp.asarray(dump[f"kept/{block}/{place}"]) / jnp.asarray(1 - DROPOUT, precision.accumulate)

    def loss(params: Any, precision: Precision) -> Totals:
        def real(name: str) -> jax.Array:
            return jnp.asarray(dump[name], precision.accumulate)

        batch = FlowBatch(jnp.asarray(dump["token"]), jnp.asarray(dump["token_len"]), real("mel"), real("embedding"))
        draws = FlowDraws(
            streaming=jnp.asarray(_coin(path) < STREAMING_SHARE),
            prompt_frames=jnp.asarray(dump["prompt_frames"]),
            times=real("time"),
            noise=real("noise"),
            conditioned=real("guidance") > DROPPED_SHARE,
            kept=tuple(
                Kept(kept(n, "attention", precision), kept(n, "feed_forward", precision)) for n in range(config.depth)
            ),
        )
        return flow_loss(params, batch, draws, config=config, precision=precision)

    return _check(synthesizer, dump, "flow", loss)


def _coin(path: Path) -> float:
    return float(read_metadata(path)["coin"])


def _check(synthesizer: Synthesizer, dump: Dump, stage: str, loss: Loss) -> list[Check]:
    if synthesizer.precision != FLOAT32:
        return []
    params = synthesizer.params(stage)
    ours = learn(params, lambda params: loss(params, FLOAT32))
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
        exact = learn(wide, lambda params: loss(params, FLOAT64))
    shapes = {name: value.shape for name, value in ours.gradients.items()}
    truth, theirs, updates = (
        read_learnt(dump, stage, shapes, what, suffix)
        for what, suffix in (("gradient", _TRUTH), ("gradient", ""), ("update", _TRUTH))
    )
    return [
        _relative("loss", ours.loss, float(dump["loss"]), float(dump["loss_f64"])),
        *([_accuracy(ours.means["accuracy"], float(dump["acc"]))] if "acc" in dump else []),
        _worst("gradients", ours.gradients, truth, theirs, _LIMIT),
        _worst("gradients, float64", exact.gradients, truth, {}, _SAME),
        _worst("three Adam steps, float64", exact.updates, updates, {}, _LIMIT),
    ]


def learn(params: Any, loss: Callable[[Any], Totals]) -> Learnt:
    """Of a loss that is divided by its count, in the type of the parameters."""

    @jax.jit
    def gradients(params: Any) -> tuple[dict[str, jax.Array], Any]:
        (_, means), gradient = jax.value_and_grad(mean, has_aux=True)(params)
        return means, gradient

    def mean(params: Any) -> tuple[jax.Array, dict[str, jax.Array]]:
        means = loss(params).means()
        return means["loss"], means

    optimiser = optax.adam(_LEARNING_RATE)
    means, first = gradients(params)
    state, moved, gradient = optimiser.init(params), params, first
    for step in range(_STEPS):
        if step:
            _, gradient = gradients(moved)
        change, state = optimiser.update(gradient, state)
        moved = optax.apply_updates(moved, change)
    figures = {name: float(value) for name, value in means.items()}
    updates = jax.tree.map(lambda new, old: new - old, moved, params)
    return Learnt(figures.pop("loss"), figures, _named(first), _named(updates))


def _named(tree: Any) -> Named:
    return {name: np.asarray(leaf) for name, leaf in flatten_dict(tree, sep="/").items()}


def read_learnt(
    dump: Mapping[str, np.ndarray], stage: str, shapes: Mapping[str, tuple[int, ...]], what: str, suffix: str
) -> Named:
    """The dump's tensors `what`/NAME under our parameters' paths and in their shapes, rows that are not stored being
    zero. Part of a capture may lack some."""
    rules: Sequence[Rule] = [rule for rule in STAGE_RULES[stage].rules if isinstance(rule, Rule)]
    found = {}
    for name, shape in shapes.items():
        transform, sources = alternatives(rules, name)[0]
        if all(f"{what}/{source}{suffix}" in dump for source in sources):
            parts = zip(sources, transform.source_shapes(shape), strict=True)
            found[name] = transform.forward(*(_whole(dump, f"{what}/{source}", of, suffix) for source, of in parts))
    return found


def _whole(dump: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], suffix: str) -> np.ndarray:
    values = dump[f"{name}{suffix}"]
    rows = dump.get(f"gradient/{name.partition('/')[2]}{_ROWS}")
    if rows is None:
        return values
    whole = np.zeros(shape, values.dtype)
    whole[rows] = values
    return whole


def _relative(name: str, ours: float, theirs: float, truth: float) -> Check:
    error, own = (abs(value - truth) / abs(truth) for value in (ours, theirs))
    return Check(name, f"{_LOSS_LIMIT:g} relative", error <= max(_LOSS_LIMIT, own), max_abs=error,
                 reference_max_abs=own, note=f"{ours:.6f}")  # fmt: skip


def _accuracy(ours: float, theirs: float) -> Check:
    return Check("accuracy", "equal", abs(ours - theirs) < 1e-6, note=f"{ours:.4f}")


def _worst(name: str, ours: Named, truth: Named, theirs: Named, limit: float) -> Check:
    """The largest error of a parameter, of the norm of what it should be; and the reference's own there."""
    if not truth:
        return Check(name, "captured", False, note="none is stored")
    errors = {key: _error(ours[key], value) for key, value in truth.items()}
    own = {key: _error(theirs[key], value) if key in theirs else 0.0 for key, value in truth.items()}
    worst = max(errors, key=lambda key: errors[key] / max(limit, _WORSE * own[key]))
    ok = all(errors[key] <= max(limit, _WORSE * own[key]) for key in errors)
    note = f"{len(errors)} of {len(ours)}, worst {worst}"
    return Check(name, f"{limit:g} of each norm", ok, max_abs=errors[worst], note=note,
                 reference_max_abs=own[worst] if theirs else None)  # fmt: skip


def _error(ours: np.ndarray, truth: np.ndarray) -> float:
    norm = np.linalg.norm(truth)
    return float(np.linalg.norm(ours.astype(np.float64) - truth) / norm) if norm else float(np.abs(ours).max() > 0)
