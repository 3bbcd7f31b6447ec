"""Matrices in 8 bits, one scale an output row, as in LLM.int8() (https://arxiv.org/abs/2208.07339) without its outlier
columns: what the weights lose is all that is lost, since activations keep 15 bits.

O/I output/input features.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.nn import backend
from cosy_jax.nn.precision import Precision

_LEVELS = 127
# A second 8-bit number holds what the first one leaves over, at most half a level, in as many levels again.
_FINE = 2 * _LEVELS


def quantise(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A kernel (O, I) as int8 (O, I) and its scale float32 (O,): kernel ~ int8 * scale, off by half a scale at most."""
    kernel = np.asarray(kernel, np.float32)
    scale = np.maximum(np.abs(kernel).max(axis=1), np.finfo(np.float32).tiny * _LEVELS) / _LEVELS
    return np.round(kernel / scale[:, None]).astype(np.int8), scale.astype(np.float32)


def product(x: jax.Array, kernel: jax.Array, scale: jax.Array, precision: Precision) -> jax.Array:
    """x (..., I) times kernel int8 (O, I) with its scale (O,) -> float32 (..., O)."""
    if x.size == x.shape[-1]:
        y = _one_row(x.reshape(1, -1), kernel, precision).reshape(*x.shape[:-1], -1)
    else:
        y = _rows(x, kernel, precision)
    return y * scale


@functools.partial(jax.jit, static_argnames=("precision",))
def _rows(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """Integers up to 256 are exact in bfloat16. jit for the reason that `_one_row` has."""
    return backend.by_platform(
        x,
        kernel,
        cpu=lambda x, kernel: precision.linear(x, _after(kernel, x)),
        other=precision.linear,
    )


def _after(kernel: jax.Array, x: jax.Array) -> jax.Array:
    """The int8 kernel, in a form that XLA has to wait for x with: its CPU backend, which drops optimization barriers,
    would else have every layer's kernel in bfloat16 before the first layer, twice the memory of the 8 bits."""
    unequal = x.ravel()[0] != x.ravel()[0]  # true for NaN alone, of which nothing comes anyhow
    return kernel ^ unequal.astype(kernel.dtype)


@functools.partial(jax.jit, static_argnames=("precision",))
def _one_row(x: jax.Array, kernel: jax.Array, precision: Precision) -> jax.Array:
    """jit, so that the many equal layers of a stack are traced once."""
    return backend.by_platform(x, kernel, cpu=_pair_product, other=precision.linear)


def _pair_product(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x (1, I) times kernel int8 (O, I) -> float32 (1, O), by integer products alone.

    Two rows at once: x in 127 levels a side, and the remainder in 254 times finer ones. On a CPU one row takes a slow
    path, so the second row is free, and it gives the activations 15 bits.
    """
    x = x.astype(jnp.float32)
    step = jnp.maximum(jnp.max(jnp.abs(x)), jnp.finfo(jnp.float32).tiny * _LEVELS) / _LEVELS
    coarse = jnp.round(x / step)
    fine = jnp.round((x / step - coarse) * _FINE)
    pair = jnp.concatenate([coarse, fine]).astype(jnp.int8)
    y = jnp.einsum("ri,oi->ro", pair, kernel, preferred_element_type=jnp.int32).astype(jnp.float32)
    return step * (y[:1] + y[1:] / _FINE)
