"""The losses' terms by hand; that they are the reference's, tests/parity shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.train.vocoder.losses import _feature_loss, _tpr


def test_tpr_takes_the_lower_median():
    aims, others = jnp.asarray([0.0, 0.1, 0.3, 0.9]), jnp.zeros(4)
    np.testing.assert_allclose(_tpr([aims], [others], 1.0), 0.1**2, rtol=1e-5)
    np.testing.assert_allclose(_tpr([aims * 10] * 2, [others] * 2, 0.04), 0.08, rtol=1e-6)


def test_tpr_of_nothing_below_the_median_is_zero():
    loss, gradient = jax.value_and_grad(lambda aim: _tpr([aim], [jnp.zeros(3)], 0.04))(jnp.full(3, 0.2))
    assert loss == 0 and not gradient.any()


def test_gradient_of_the_median_is_shared_by_equals():
    aims = jnp.asarray([0.0, 0.1, 0.1, 0.9])
    gradient = jax.grad(lambda aim: _tpr([aim], [jnp.zeros(4)], 1.0))(aims)
    np.testing.assert_allclose(gradient, [-0.2, 0.1, 0.1, 0.0], atol=1e-6)


def test_features_are_compared_map_by_map_and_doubled():
    reals = [[jnp.zeros((2, 3)), jnp.zeros(4)], [jnp.zeros(1)]]
    fakes = [[jnp.ones((2, 3)), jnp.full(4, -0.5)], [jnp.full(1, 0.25)]]
    assert float(_feature_loss(reals, fakes)) == pytest.approx(2 * 1.75)
