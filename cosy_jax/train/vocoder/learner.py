"""A step of the vocoder's training as the loop of a run takes it."""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from cosy_jax.nn.precision import Precision
from cosy_jax.train.learner import State, averaged
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.totals import Totals
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.generator import generate
from cosy_jax.train.vocoder.losses import Batch, stft_loss
from cosy_jax.train.vocoder.spectra import log_mel
from cosy_jax.train.vocoder.steps import (
    Draws,
    GanState,
    d_gradients,
    draws,
    g_gradients,
    step,
    update,
    with_adams,
)
from cosy_jax.train.vocoder.weight_norm import fold


class GanLearner:
    """The discriminators' step, then the generator's, on the same batch. For the first `alone` steps the generator
    learns spectra and F0 alone: discriminators have nothing to say about noise, and cost most of a step."""

    def __init__(self, config: GanConfig, precision: Precision, ema: float, alone: int) -> None:
        self._config, self._precision, self._ema, self._alone = config, precision, ema, alone

    def init(self, learnt: Tree) -> State:
        """Before the first step."""
        own = jax.tree.map(jnp.copy, learnt)
        begun = with_adams(own["generator"], own["discriminators"], self._config)
        moments = {"generator": begun.generator_adam, "discriminators": begun.discriminator_adam}
        average = jax.tree.map(jnp.copy, learnt) if self._ema else None
        steps, skipped, in_a_row = (jnp.zeros((), jnp.int32) for _ in range(3))
        return State(steps, own, moments, average, skipped, in_a_row)

    def step(
        self, state: State, frozen: Tree, batches: Sequence[Batch], key: jax.Array
    ) -> tuple[State, dict[str, jax.Array]]:
        """After one batch; figures: the losses and their terms, `d_norm` and `g_norm` of the gradients."""
        (first,) = batches
        batch = jax.tree.map(jnp.asarray, first)
        noise = draws(key, batch, self._config)
        if int(state.step) < self._alone:
            learnt, moments, figures = self._spectral_step(state, batch, jnp.asarray(noise.generator))
        else:
            learnt, moments, figures = self._adversarial_step(state, batch, noise)
        return _advanced(state, learnt, moments, figures, ema=self._ema), figures

    def lower(self, state: State, frozen: Tree, batch: Batch, key: jax.Array) -> list[jax.stages.Lowered]:
        """The programs that take a batch's gradients; none while the generator learns alone."""
        if int(state.step) <= self._alone:
            return []
        noise = jax.eval_shape(functools.partial(draws, config=self._config), key, batch)
        options: dict[str, Any] = {"config": self._config, "precision": self._precision}
        generator, discriminators = state.learnt["generator"], state.learnt["discriminators"]
        return [
            d_gradients.lower(discriminators, generator, batch, noise.discriminator, **options),
            g_gradients.lower(generator, discriminators, batch, noise.generator, **options),
        ]

    def evaluate(self, state: State, frozen: Tree, batch: Batch, key: jax.Array) -> Totals:
        """The mel distance alone: what discriminators think changes with them."""
        noise = draws(key, batch, self._config).generator
        _, terms = _spectral_loss(
            self.current(state)["generator"], batch, noise, config=self._config, precision=self._precision
        )
        rows = jnp.asarray(len(batch.speech), jnp.float32)
        others = {name.removeprefix("g_"): rows * term for name, term in terms.items() if name != "g_mel"}
        return Totals(rows * terms["g_mel"], rows, others)

    def current(self, state: State) -> Tree:
        """What is learnt so far: its moving average where there is one."""
        return state.learnt if state.average is None else state.average

    def _spectral_step(self, state: State, batch: Batch, noise: jax.Array) -> tuple[Tree, Tree, dict[str, jax.Array]]:
        gradient, terms = _spectral_gradient(
            state.learnt["generator"], batch, noise, config=self._config, precision=self._precision
        )
        generator, adam, norm = update(
            state.learnt["generator"], gradient, state.moments["generator"], config=self._config.generator_adam
        )
        return {**state.learnt, "generator": generator}, {**state.moments, "generator": adam}, terms | {"g_norm": norm}

    def _adversarial_step(self, state: State, batch: Batch, noise: Draws) -> tuple[Tree, Tree, dict[str, jax.Array]]:
        learnt, moments = state.learnt, state.moments
        before = GanState(
            learnt["generator"], learnt["discriminators"], moments["generator"], moments["discriminators"]
        )
        after, figures = step(before, batch, noise, config=self._config, precision=self._precision)
        learnt = {"generator": after.generator, "discriminators": after.discriminators}
        return learnt, {"generator": after.generator_adam, "discriminators": after.discriminator_adam}, figures


@functools.partial(jax.jit, static_argnames=("ema",))
def _advanced(state: State, learnt: Tree, moments: Tree, figures: dict[str, jax.Array], *, ema: float) -> State:
    """The state a step further, as it was but for the counts where a loss or norm is not finite."""
    good = jnp.all(jnp.stack([jnp.isfinite(value) for value in figures.values()]))
    average = state.average
    if average is not None:
        average = averaged(average, learnt, state.step, ema)
    old, new = (state.learnt, state.moments, state.average), (learnt, moments, average)
    kept = jax.tree.map(lambda one, other: jnp.where(good, one, other), new, old)
    bad = 1 - good.astype(jnp.int32)
    return State(state.step + 1, kept[0], kept[1], kept[2], state.skipped + bad, (state.in_a_row + 1) * bad)


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def _spectral_loss(
    g_params: Tree, batch: Batch, noise: jax.Array, *, config: GanConfig, precision: Precision
) -> tuple[jax.Array, dict[str, jax.Array]]:
    """Mel and F0 losses (`losses.g_loss`), and `stft_loss` where it has a weight, in their weights, and by name."""
    audio, f0 = generate(fold(g_params), batch.mel, noise, config.vocoder, precision)
    rate = config.vocoder.sample_rate
    wanted = log_mel(batch.speech, config.mel, rate, precision)
    mel = jnp.mean(jnp.abs(log_mel(audio, config.mel, rate, precision) - wanted))
    distance = jnp.mean(jnp.abs(f0 - batch.f0))
    weights, terms = config.losses, {"g_mel": mel, "g_f0": distance}
    loss = weights.mel * mel + weights.f0 * distance
    if weights.stft:
        terms["g_stft"] = stft_loss(audio, batch.speech, weights.stft_windows)
        loss += weights.stft * terms["g_stft"]
    return loss, terms


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def _spectral_gradient(
    g_params: Tree, batch: Batch, noise: jax.Array, *, config: GanConfig, precision: Precision
) -> tuple[Tree, dict[str, jax.Array]]:
    loss = functools.partial(_spectral_loss, config=config, precision=precision)
    (total, terms), gradient = jax.value_and_grad(loss, has_aux=True)(g_params, batch, noise)
    return gradient, {"g_loss": total, **terms}
