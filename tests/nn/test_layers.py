"""Shared layers against NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.nn.layers import Conv1d, LayerNorm, Linear, RMSNorm, length_mask
from cosy_jax.nn.precision import BFLOAT16, FLOAT64


def random(*shape):
    return np.random.default_rng(0).standard_normal(shape, np.float32)


def test_linear_is_stored_output_first():
    x, kernel, bias = random(3, 4), random(5, 4), random(5)
    y = Linear(5).apply({"params": {"kernel": kernel, "bias": bias}}, jnp.asarray(x))
    np.testing.assert_allclose(y, x @ kernel.T + bias, rtol=1e-5, atol=1e-6)


def test_causal_conv_sees_nothing_to_the_right():
    x = random(1, 9, 2)
    conv = Conv1d(3, 4, dilation=2)
    params = conv.init(jax.random.key(0), jnp.asarray(x))
    changed = x.copy()
    changed[:, 5:] += 1.0
    before, after = conv.apply(params, jnp.asarray(x)), conv.apply(params, jnp.asarray(changed))
    np.testing.assert_array_equal(before[:, :5], after[:, :5])
    assert np.abs(before - after)[:, 5:].max() > 0


def test_norms():
    x = random(2, 8)
    rms = RMSNorm(1e-6).apply({"params": {"scale": np.ones(8)}}, jnp.asarray(x))
    np.testing.assert_allclose(rms, x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6), rtol=1e-5)
    # A large offset: the variance must be taken of centred values.
    params = {"params": {"scale": np.ones(8), "bias": np.zeros(8)}}
    shifted = LayerNorm(1e-6).apply(params, jnp.asarray(x + 1000))
    exact = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
    np.testing.assert_allclose(shifted, exact, atol=2e-4)


def test_bfloat16_policy_sums_in_float32():
    ones = jnp.ones((1, 4096))
    y = Linear(1, False, BFLOAT16).apply({"params": {"kernel": np.ones((1, 4096), np.float32)}}, ones)
    assert y.dtype == jnp.float32 and float(y[0, 0]) == 4096  # bfloat16 sums would stop at 256


def test_float64_policy():
    with jax.enable_x64(True):
        y = FLOAT64.einsum("i,i->", jnp.asarray([1.0, 1e-12]), jnp.asarray([1.0, 1.0]))
    assert y.dtype == np.float64 and float(y) > 1


def test_length_mask():
    assert length_mask(jnp.asarray([2, 0]), 3).tolist() == [[True, True, False], [False] * 3]
