"""A convolution as a loop over its taps against the convolution."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn import backend
from cosy_jax.nn.layers import Conv1d
from cosy_jax.nn.precision import BFLOAT16, FLOAT32
from cosy_jax.nn.taps import tap_convolution

FORMS = {
    "plain": {"kernel_size": 4},
    "dilated": {"kernel_size": 3, "dilation": 2, "padding": (2, 2)},
    "strided": {"kernel_size": 3, "stride": 2, "padding": (1, 1)},
    "a whole number of strides": {"kernel_size": 6, "stride": 3},
    "depthwise": {"kernel_size": 31, "groups": 6, "padding": (15, 15)},
}


def values(form, length, precision=FLOAT32):
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, length, 6), np.float32))
    layer = Conv1d(6, **FORMS[form], precision=precision)
    return layer, layer.init(jax.random.key(0), x), x


@pytest.mark.parametrize("length", [36, 37])
@pytest.mark.parametrize("form", FORMS)
def test_on_a_tpu_the_same_is_computed_tap_by_tap(form, length):
    layer, params, x = values(form, length)

    def squares(params, x):
        return jnp.sum(layer.apply(params, x) ** 2)

    wanted, gradient = layer.apply(params, x), jax.grad(squares, (0, 1))(params, x)
    with backend.pretend("tpu"):
        assert "conv_general_dilated" not in str(jax.make_jaxpr(layer.apply)(params, x))
        found, of_taps = layer.apply(params, x), jax.grad(squares, (0, 1))(params, x)
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), of_taps, gradient)


@pytest.mark.parametrize("form", ["plain", "depthwise"])
def test_bfloat16_taps_are_summed_in_float32(form):
    layer, params, x = values(form, 40, BFLOAT16)
    wanted = layer.apply(params, x)
    with backend.pretend("tpu"):
        found = layer.apply(params, x)
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, wanted, atol=3e-3 * np.abs(wanted).max())


def test_what_taps_see_is_not_kept_for_the_gradient():
    """The loop keeps its running sum at most, not a copy of x for each tap."""
    x, kernel = jnp.zeros((1, 1030, 8)), jnp.zeros((31, 8, 1))
    _, pull = jax.vjp(lambda x: tap_convolution(x, kernel, FLOAT32), x)
    assert sum(leaf.size for leaf in jax.tree.leaves(pull)) < 2 * x.size + kernel.size + 31 * 1000
