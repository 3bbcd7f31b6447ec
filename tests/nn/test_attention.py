"""All ways of attention compute the same."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn import attention, backend
from cosy_jax.nn.precision import BFLOAT16, FLOAT32


def inputs(batch=2, length=24, keys=40, heads=6, rows=1):
    random = np.random.default_rng(0)
    query = random.normal(size=(batch, length, heads, 16)).astype(np.float32)
    key, value = random.normal(size=(2, batch, keys, heads, 16)).astype(np.float32)
    mask = random.random((batch, rows, keys)) < 0.7
    mask[..., 0] = True
    return tuple(map(jnp.asarray, (query, key, value, mask)))


def exact(query, key, value, mask):
    query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
    scores = np.einsum("bthe,bshe->bhts", query, key) / np.sqrt(query.shape[-1])
    scores = np.where(np.asarray(mask)[:, None], scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return np.einsum("bhts,bshe->bthe", weights / weights.sum(-1, keepdims=True), value)


@pytest.mark.parametrize("rows", [1, 24])
@pytest.mark.parametrize("heads", [0, 2, 5, 6, 13, 10**9])  # that fit, of 6 of 4 rows
def test_blocks_of_any_size(monkeypatch, rows, heads):
    monkeypatch.setattr(attention, "_BLOCK_BYTES", 24 * 40 * 4 * heads)
    arrays = inputs(batch=4, rows=rows)
    ours = jax.jit(lambda *x: attention.attend(*x, FLOAT32))(*arrays)
    np.testing.assert_allclose(ours, exact(*arrays), atol=2e-6)


@pytest.mark.parametrize("rows", [1, 24])
@pytest.mark.parametrize("allowed", [1, 2 * 6 * 40 * 4 * 7, 10**9])  # one query at a time, six, all
def test_queries_in_groups_on_a_tpu(monkeypatch, rows, allowed):
    monkeypatch.setattr(attention, "_TPU_BYTES", allowed)
    arrays = inputs(rows=rows)
    with backend.pretend("tpu"):
        program = jax.jit(lambda *x: attention.attend(*x, FLOAT32)).lower(*arrays)
        np.testing.assert_allclose(program.compile()(*arrays), exact(*arrays), atol=2e-6)
    assert ("stablehlo.while" in program.as_text()) == (allowed < 10**9)


@pytest.mark.parametrize(("precision", "limit"), [(FLOAT32, 2e-6), (BFLOAT16, 2e-2)])
def test_without_blocks_where_the_backend_is_no_cpu(precision, limit):
    """cuDNN is asked for in bfloat16; here it is not there, and the plain way takes over."""
    arrays = inputs()
    with backend.pretend("gpu"):
        ours = jax.jit(lambda *x: attention.attend(*x, precision))(*arrays)
    np.testing.assert_allclose(ours, exact(*arrays), atol=limit)


@pytest.mark.parametrize(("offset", "taken"), [(0.0, True), (1.0, False), (np.nan, False)])
def test_flash_attention_is_taken_where_it_is_right(monkeypatch, offset, taken):
    arrays = inputs()
    shapes = tuple(x.shape for x in (arrays[0], arrays[1], arrays[3]))
    monkeypatch.setattr(attention, "_flash", lambda *x, precision: attention._plain(*x, precision) + offset)
    attention._cudnn_takes.cache_clear()
    assert attention._cudnn_takes(*shapes) is taken
    attention._cudnn_takes.cache_clear()
