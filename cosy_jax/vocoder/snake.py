"""The Snake activation (https://arxiv.org/abs/2006.08195), whose sine takes most of a vocoder's time if left to XLA.

XLA's CPU backend calls a scalar sine: 24 times slower than this polynomial, and as long as all convolutions together.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

# Pi in three parts (Cody and Waite, Software Manual for the Elementary Functions, 1980): the first two have so few bits
# that their products with an integer below 2^13 are exact in float32.
_PI_PARTS = (3.140625, 9.67502593994140625e-4, 1.509957990978376432e-7)
# sin(r) = r + r³ (c0 + c1 r² + ...) for |r| <= pi / 2, least absolute error: 5e-9 (iterated least squares).
_SINE = (-0.16666656732559204, 0.008333017118275166, -0.00019806614727713168, 2.6000548132287804e-06)


class Snake(nn.Module):
    """x + sin²(alpha x) / alpha. Parameters: alpha (C,)."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        alpha = self.param("alpha", nn.initializers.ones, (x.shape[-1],))
        return snake(x, alpha)


def snake(x: jax.Array, alpha: jax.Array) -> jax.Array:
    """x (..., C), alpha (C,) -> (..., C)."""
    return x + sine_squared(x * alpha) / (alpha + 1e-9)


@jax.custom_jvp
def sine_squared(x: jax.Array) -> jax.Array:
    """sin²(x), any shape, float32: within 3e-7 for |x| < 10^4. float64 is left to XLA."""
    if x.dtype == jnp.float64:
        return jnp.square(jnp.sin(x))
    return jnp.square(_sine_of_rest(x)[0])


# The polynomial's own derivative would keep every power of x for the backward pass; this keeps x alone.
@sine_squared.defjvp
def _sine_squared_jvp(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple[jax.Array, jax.Array]:
    (x,), (dx,) = primals, tangents
    return sine_squared(x), _sine(2 * x) * dx


def _sine(x: jax.Array) -> jax.Array:
    if x.dtype == jnp.float64:
        return jnp.sin(x)
    sine, half_turns = _sine_of_rest(x)
    return jnp.where(half_turns % 2 == 0, sine, -sine)


def _sine_of_rest(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sin(x - n pi) and n, the number of half turns nearest to x."""
    turns = lax.round(x * (1 / jnp.pi), lax.RoundingMethod.TO_NEAREST_EVEN)
    for part in _PI_PARTS:  # one after the other: their sum is not pi in float32
        x = x - turns * part
    square = x * x
    series = jnp.zeros_like(x)
    for coefficient in reversed(_SINE):
        series = series * square + coefficient
    return x + x * square * series, turns
