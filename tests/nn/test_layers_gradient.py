"""Grouped convolutions, which a CPU takes group by group, and their gradient, taken tap by tap, are XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.layers import convolution, grouped_convolution
from cosy_jax.nn.precision import BFLOAT16, FLOAT32


@pytest.mark.parametrize(
    ("channels", "groups", "taps", "dilation", "padding"),
    [(12, 3, 5, 1, (4, 0)), (8, 8, 4, 2, (2, 4)), (8, 2, 1, 1, (0, 0))],
)
@pytest.mark.parametrize(("precision", "limit"), [(FLOAT32, 1e-5), (BFLOAT16, 2e-2)])
def test_convolution_and_both_gradients(channels, groups, taps, dilation, padding, precision, limit):
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 20, channels))
    kernel = jax.random.normal(keys[1], (taps, channels // groups, 2 * channels))
    given = x, kernel, groups, dilation, padding
    whole = convolution(*given, FLOAT32)
    np.testing.assert_allclose(grouped_convolution(*given, precision), whole, atol=limit * float(jnp.abs(whole).max()))
    wanted = jax.random.normal(keys[2], whole.shape)

    def gradients(convolve, precision):
        return jax.grad(
            lambda x, kernel: jnp.vdot(convolve(x, kernel, groups, dilation, padding, precision), wanted), (0, 1)
        )(x, kernel)

    for ours, own in zip(gradients(grouped_convolution, precision), gradients(convolution, FLOAT32), strict=True):
        assert ours.shape == own.shape
        np.testing.assert_allclose(ours, own, atol=limit * float(jnp.abs(own).max()))
