"""One step of learning: gradients of micro-batches, added up, one step of the optimiser.

The loss is a sum over targets (`Totals`), and so are its gradients: a step divides by the weight of all its
micro-batches, which thus counts every target alike, however they are spread over micro-batches and devices.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax.traverse_util import flatten_dict, unflatten_dict

from cosy_jax.train.parametrisation import Parametrisation, Tree
from cosy_jax.train.totals import Totals

_FOLLOWED = 0.1  # of the way that statistics go to those of a step, as torch's batch norms

LossFunction = Callable[[Tree, Any, jax.Array], Totals]  # parameters, batch, key of its draws


class State(NamedTuple):
    """All that a run changes: steps done, what is learnt, the optimiser's moments, the moving average of what is learnt
    (None without one), steps skipped in all and in a row."""

    step: jax.Array
    learnt: Tree
    moments: Any
    average: Tree | None
    skipped: jax.Array
    in_a_row: jax.Array


class Learner:
    """Minimises a loss by an optimiser. Its functions are pure; the object holds the compiled programs."""

    def __init__(
        self, loss: LossFunction, parametrisation: Parametrisation, optimiser: optax.GradientTransformation, ema: float
    ) -> None:
        self._parametrisation, self._optimiser, self._ema = parametrisation, optimiser, ema

        def summed(learnt: Tree, frozen: Tree, batch: Any, key: jax.Array) -> tuple[jax.Array, Totals]:
            totals = loss(parametrisation.join(learnt, frozen), batch, key)
            return totals.loss, totals

        def gradient(learnt: Tree, frozen: Tree, batch: Any, key: jax.Array) -> tuple[Tree, Totals]:
            (_, totals), gradient = jax.value_and_grad(summed, has_aux=True)(learnt, frozen, batch, key)
            return gradient, totals

        self.gradient = jax.jit(gradient)  # of a micro-batch's summed loss, with the totals
        self._evaluate = jax.jit(lambda *arguments: summed(*arguments)[1])
        self._apply = jax.jit(self._step, donate_argnums=0)
        self._add = jax.jit(lambda one, other: jax.tree.map(jnp.add, one, other), donate_argnums=0)

    def init(self, learnt: Tree) -> State:
        """Before the first step. Every array is the state's own, since a step uses them up."""
        step, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
        own = jax.tree.map(jnp.copy, learnt)
        average = jax.tree.map(jnp.copy, learnt) if self._ema else None
        return State(step, own, self._optimiser.init(own), average, skipped, in_a_row)

    def step(
        self, state: State, frozen: Tree, batches: Sequence[Any], key: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        """After micro-batches; `state` is used up. Figures: means of loss and more, `gradient_norm`, `weight`."""
        added = None
        for index, batch in enumerate(batches):
            found = self.gradient(state.learnt, frozen, batch, jax.random.fold_in(key, index))
            added = found if added is None else self._add(added, found)
        assert added is not None
        return self._apply(state, *added)

    def lower(self, state: State, frozen: Tree, batch: Any, key: jax.Array) -> list[jax.stages.Lowered]:
        """The programs that take a micro-batch's gradient."""
        return [self.gradient.lower(state.learnt, frozen, batch, key)]

    def evaluate(self, state: State, frozen: Tree, batch: Any, key: jax.Array) -> Totals:
        """The loss of what would be exported now."""
        return self._evaluate(self.current(state), frozen, batch, key)

    def current(self, state: State) -> Tree:
        """What is learnt so far: its moving average where there is one."""
        return state.learnt if state.average is None else state.average

    def _step(self, state: State, gradient: Tree, totals: Totals) -> tuple[State, dict[str, jax.Array]]:
        weight = jnp.maximum(totals.weight, 1)
        gradient = jax.tree.map(lambda leaf: leaf / weight.astype(leaf.dtype), gradient)
        norm = optax.tree.norm(gradient)
        changes, moments = self._optimiser.update(gradient, state.moments, state.learnt)
        learnt = _followed(optax.apply_updates(state.learnt, changes), totals.statistics, weight)
        average = state.average
        if average is not None:
            average = averaged(average, learnt, state.step, self._ema)
        good = jnp.isfinite(norm) & jnp.isfinite(totals.loss)
        old, new = (state.learnt, state.moments, state.average), (learnt, moments, average)
        kept = jax.tree.map(lambda one, other: jnp.where(good, one, other), new, old)
        bad = 1 - good.astype(jnp.int32)
        learnt, moments, average = kept
        after = State(state.step + 1, learnt, moments, average, state.skipped + bad, (state.in_a_row + 1) * bad)
        return after, totals.means() | {"gradient_norm": norm, "weight": totals.weight}


def averaged(average: Tree, learnt: Tree, step: jax.Array, decay: float) -> Tree:
    """The moving average after the step of this number, counted from 0. Its decay grows from a tenth to `decay`, as the
    steps do: at 0.999 from the first one on, a third of it would be the random beginning after a thousand steps."""
    count = step.astype(jnp.float32)
    return optax.incremental_update(learnt, average, 1 - jnp.minimum(decay, (1 + count) / (10 + count)))


def _followed(learnt: Tree, statistics: Tree | None, weight: jax.Array) -> Tree:
    """`learnt` with its statistics moved towards those of the step."""
    if statistics is None:
        return learnt
    flat = flatten_dict(learnt, sep="/")
    for name, value in flatten_dict(statistics, sep="/").items():
        flat[name] = flat[name] + _FOLLOWED * (value / weight - flat[name])
    return unflatten_dict(flat, sep="/")
