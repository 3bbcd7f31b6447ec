"""A step counts every target alike, keeps what is not finite out, and follows statistics."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from cosy_jax.train.learner import Learner, averaged
from cosy_jax.train.parametrisation import Whole
from cosy_jax.train.totals import Totals

WEIGHTS = {"layer": {"kernel": jnp.asarray([[1.0, -2.0], [0.5, 3.0]]), "bias": jnp.zeros(2)}}


def loss(params, batch, key):
    """Squares over the rows whose weight is one."""
    x, real = batch
    error = x @ params["layer"]["kernel"].T + params["layer"]["bias"] - 1
    return Totals(jnp.sum(real[:, None] * error**2), jnp.sum(real), {})


def learner(optimiser=None, ema=0.0, loss=loss):
    return Learner(loss, Whole(), optimiser or optax.sgd(0.01), ema)


def rows(count, seed=0):
    return np.random.default_rng(seed).standard_normal((count, 2)).astype(np.float32), np.ones(count, np.float32)


def test_micro_batches_of_any_size_are_one_batch():
    x, real = rows(7)
    whole, _ = learner().step(learner().init(WEIGHTS), {}, [(x, real)], jax.random.key(0))
    parts = [(x[:2], real[:2]), (x[2:], real[2:])]
    split, figures = learner().step(learner().init(WEIGHTS), {}, parts, jax.random.key(0))
    assert float(figures["weight"]) == 7
    for one, other in zip(jax.tree.leaves(whole.learnt), jax.tree.leaves(split.learnt), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_rows_without_weight_change_nothing():
    x, real = rows(5)
    real[3:] = 0
    with_empty, _ = learner().step(learner().init(WEIGHTS), {}, [(x, real)], jax.random.key(0))
    without, _ = learner().step(learner().init(WEIGHTS), {}, [(x[:3], real[:3])], jax.random.key(0))
    for one, other in zip(jax.tree.leaves(with_empty.learnt), jax.tree.leaves(without.learnt), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_skipped_and_counted(bad):
    taught, state = learner(optax.adam(0.1), 0.5), learner(optax.adam(0.1), 0.5).init(WEIGHTS)
    x, real = rows(4)
    state, _ = taught.step(state, {}, [(x, real)], jax.random.key(0))
    before = jax.device_get((state.learnt, state.moments, state.average))
    for count in (1, 2):
        state, _ = taught.step(state, {}, [(x * bad, real)], jax.random.key(0))
        assert (int(state.skipped), int(state.in_a_row)) == (count, count)
    for one, other in zip(
        jax.tree.leaves(before), jax.tree.leaves((state.learnt, state.moments, state.average)), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    state, _ = taught.step(state, {}, [(x, real)], jax.random.key(0))
    assert (int(state.step), int(state.skipped), int(state.in_a_row)) == (4, 2, 0)


def test_the_average_is_what_is_evaluated():
    taught = learner(ema=0.9)
    state, _ = taught.step(taught.init(WEIGHTS), {}, [rows(4)], jax.random.key(0))
    kernel = jax.device_get(taught.current(state))["layer"]["kernel"]
    first = 0.1 * WEIGHTS["layer"]["kernel"] + 0.9 * state.learnt["layer"]["kernel"]
    np.testing.assert_allclose(kernel, first, rtol=1e-6)
    state, _ = taught.step(state, {}, [rows(4)], jax.random.key(0))
    second = 2 / 11 * first + 9 / 11 * state.learnt["layer"]["kernel"]
    np.testing.assert_allclose(taught.current(state)["layer"]["kernel"], second, rtol=1e-6)


def test_the_averages_decay_grows_to_what_it_shall_be():
    """A run of a thousand steps is not a third of its random beginning."""
    kept = jnp.float32(1.0)
    for step in range(1000):
        kept = averaged({"w": kept}, {"w": jnp.float32(0.0)}, jnp.asarray(step), 0.999)["w"]
    assert kept < 1e-6
    late = averaged({"w": jnp.float32(1.0)}, {"w": jnp.float32(0.0)}, jnp.asarray(10**6), 0.999)["w"]
    np.testing.assert_allclose(late, 0.999, rtol=1e-6)


def test_statistics_follow_the_batches():
    def counted(params, batch, key):
        totals = loss({"layer": {**params["layer"], "bias": jnp.zeros(2)}}, batch, key)
        return totals._replace(statistics={"layer": {"bias": totals.weight * jnp.asarray([1.0, 2.0])}})

    taught = learner(loss=counted)
    state, _ = taught.step(taught.init(WEIGHTS), {}, [rows(4), rows(3)], jax.random.key(0))
    np.testing.assert_allclose(state.learnt["layer"]["bias"], [0.1, 0.2], rtol=1e-6)
