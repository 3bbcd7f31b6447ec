"""The losses' terms by hand; that they are the reference's, tests/parity shows."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.train.vocoder.losses import _feature_loss, _tpr, stft_loss


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


def test_spectra_part_what_a_mel_does_not():
    """87 and 95 Hz: the window that parts their harmonics is the one that tells them apart the most."""
    time = np.arange(24960) / 24000
    low, near = (sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 20)) for hertz in (87.0, 95.0))
    low, near = (jnp.asarray(0.1 * each[None], jnp.float32) for each in (low, near))
    assert float(stft_loss(low, low, (512, 2048))) == 0
    short, long = (float(stft_loss(near, low, (window,))) for window in (512, 2048))
    assert long > 1.5 * short > 0
    assert float(stft_loss(near, low, (512, 2048))) == pytest.approx((short + long) / 2, rel=1e-5)


def test_silence_has_a_gradient():
    loss, gradient = jax.value_and_grad(stft_loss)(jnp.zeros((1, 4096)), jnp.ones((1, 4096)) * 0.1, (512,))
    assert np.isfinite(loss) and np.isfinite(gradient).all()
