"""Rotary position embedding, RoPE (https://arxiv.org/abs/2104.09864), in both layouts that the networks use.

T positions, H heads, E head width.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike


def rotation(
    positions: jax.Array, dim: int, theta: float, dtype: DTypeLike = jnp.float32, stored: DTypeLike = jnp.float32
) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines `dtype` (..., T, E / 2) of positions int (..., T), for heads of width `dim` (E) and a base;
    `stored` is the type that the frequencies are rounded to."""
    angles = positions[..., None].astype(dtype) * frequencies(dim, theta, stored)
    return jnp.cos(angles), jnp.sin(angles)


def frequencies(dim: int, theta: float, dtype: DTypeLike = np.float32) -> np.ndarray:
    """theta^(-2i/E) `dtype` (E / 2,), rounded where torch rounds: a thousand positions on, the last bit of a frequency
    is an angle of 1e-4. XLA's own power, folded into the program, is off by that bit in every third one."""
    exponents = np.arange(0, dim, 2, dtype=dtype) / np.asarray(dim, dtype)
    return (1 / (np.float64(theta) ** exponents.astype(np.float64)).astype(dtype)).astype(dtype)


def rotate_half(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """x (..., T, H, E) turned by the angles of cos and sin (..., T, E / 2), channel i paired with i + E / 2, as Qwen2
    and GPT-NeoX lay them out."""
    cos, sin = cos[..., None, :], sin[..., None, :]
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)


def rotate_interleaved(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """`rotate_half` with channel 2 i paired with 2 i + 1, as in the paper and x_transformers."""
    cos, sin = cos[..., None, :], sin[..., None, :]
    even, odd = x[..., 0::2], x[..., 1::2]
    return jnp.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(x.shape)
