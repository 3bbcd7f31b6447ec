"""Matrices in 8 bits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.int8 import product, quantise
from cosy_jax.nn.precision import INT8
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY


@pytest.fixture(scope="module")
def kernel():
    return np.random.default_rng(0).normal(0, 0.02, (48, 64)).astype(np.float32)


def test_quantised_kernel_is_off_by_half_a_level_at_most(kernel):
    values, scale = quantise(kernel)
    assert values.dtype == np.int8 and scale.shape == (48,)
    assert np.all(np.abs(values * scale[:, None] - kernel) <= scale[:, None] * 0.501)


def test_a_row_of_zeros_stays_zero():
    values, scale = quantise(np.zeros((2, 8), np.float32))
    assert not values.any() and np.all(np.isfinite(scale))
    assert np.all(np.asarray(product(jnp.zeros((1, 8)), values, scale, INT8)) == 0)


@pytest.mark.parametrize(("shape", "limit"), [((1, 1, 64), 1e-4), ((3, 64), 1e-2)])
def test_product_loses_little_beyond_the_weights(kernel, shape, limit):
    """A single row keeps 15 bits of its activations, several keep bfloat16's 8."""
    values, scale = quantise(kernel)
    x = np.random.default_rng(1).normal(0, 1, shape).astype(np.float32)
    x.flat[3] = 50.0  # an outlier, as hidden states have them
    exact = x.astype(np.float64) @ (values * scale[:, None].astype(np.float64)).T
    ours = jax.jit(lambda x: product(x, jnp.asarray(values), jnp.asarray(scale), INT8))(x)
    assert ours.shape == (*shape[:-1], 48)
    assert np.max(np.abs(ours - exact)) <= limit * np.max(np.abs(exact))


def test_kernels_of_several_rows_are_wide_one_at_a_time():
    """XLA's CPU backend would have all of them in bfloat16 before the first product."""
    layers, width = 16, 256
    kernels = [jax.ShapeDtypeStruct((width, width), jnp.int8)] * layers

    def run(x, kernels):
        for kernel in kernels:
            x = product(x, kernel, jnp.ones(width), INT8)
        return x

    compiled = jax.jit(run).lower(jax.ShapeDtypeStruct((4, width), jnp.float32), kernels).compile()
    assert compiled.memory_analysis().temp_size_in_bytes < 4 * (2 * width * width)


def test_only_the_language_model_is_kept_in_8_bits():
    synthesizer = Synthesizer(TINY, precision=INT8)
    llm = synthesizer.params("llm")
    gate = llm["backbone"]["layers_0"]["mlp"]["gate"]
    assert gate["kernel"].dtype == jnp.int8 and gate["kernel_scale"].shape == gate["kernel"].shape[:1]
    assert llm["speech_embedding"]["embedding"].dtype == jnp.bfloat16
    for stage in ("flow", "vocoder", "speech_tokenizer", "speaker_encoder"):
        assert all(leaf.dtype != jnp.int8 for leaf in jax.tree.leaves(synthesizer.params(stage)))
