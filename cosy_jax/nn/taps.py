"""Convolutions as a loop over their taps, a matrix product each: what a TPU's compiler is done with soon.

It takes 5 to 19 s for one convolution of float32, hardly less for a sum of products that are written out, and a tenth
of that for the loop (TPU.md).
"""

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.nn.precision import Precision


def tap_convolution(
    x: jax.Array, kernel: jax.Array, precision: Precision, stride: int = 1, dilation: int = 1
) -> jax.Array:
    """x (B, T, I), kernel (K, I, O), or (K, 1, I) of a channel each -> (B, T', O) in the accumulation type.

    Nothing is padded. A stride or a dilation, not both; `stride` taps are one product, so that a kernel of a multiple
    of them is none the wider for it.
    """
    taps, inputs, features = kernel.shape
    depthwise = inputs != x.shape[-1]
    length = (x.shape[1] - dilation * (taps - 1) - 1) // stride + 1
    kernel = jnp.pad(kernel, ((0, -taps % stride), (0, 0), (0, 0))).reshape(-1, stride * inputs, features)
    rows = length + dilation * (len(kernel) - 1)
    x = jnp.pad(x[:, : rows * stride], ((0, 0), (0, max(0, rows * stride - x.shape[1])), (0, 0)))
    x = x.reshape(len(x), rows, -1)

    @jax.checkpoint  # else what each tap sees is kept for the gradient
    def part(total: jax.Array, index: jax.Array) -> tuple[jax.Array, None]:
        seen = lax.dynamic_slice_in_dim(x, index * dilation, length, axis=1)
        tap = lax.dynamic_index_in_dim(kernel, index, keepdims=False)
        if depthwise:
            return total + (seen.astype(precision.compute) * tap.astype(precision.compute)).astype(total.dtype), None
        return total + precision.einsum("bti,io->bto", seen, tap), None

    start = jnp.zeros((len(x), length, features), precision.accumulate)
    return lax.scan(part, start, jnp.arange(len(kernel)))[0]
