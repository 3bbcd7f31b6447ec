"""Folded upsampling against the convolution of repeated values that it stands for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.layers import Conv1d
from cosy_jax.vocoder.upsampling import Upsampling, fold_kernel


@pytest.mark.parametrize(("taps", "rate", "parts"), [(16, 8, 3), (11, 5, 3), (7, 3, 3), (4, 4, 2), (3, 5, 2)])
def test_it_is_the_convolution_of_repeated_values(taps, rate, parts):
    random = np.random.default_rng(taps)
    x = random.normal(size=(2, 9, 4)).astype(np.float32)
    params = {"kernel": random.normal(size=(taps, 4, 3)).astype(np.float32), "bias": np.float32([1, 2, 3])}
    assert fold_kernel(jnp.asarray(params["kernel"]), rate).shape == (parts, 4, 3 * rate)
    ours = jax.jit(Upsampling(3, taps, rate).apply)({"params": params}, x)
    repeated = jax.jit(Conv1d(3, taps).apply)({"params": params}, np.repeat(x, rate, axis=1))
    np.testing.assert_allclose(ours, repeated, atol=1e-5)
