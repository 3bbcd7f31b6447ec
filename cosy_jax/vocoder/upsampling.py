"""Nearest-neighbour upsampling and the causal convolution behind it, as one convolution of what is not repeated.

Of the taps at the higher rate those that see the same value are added up, for all phases of the outputs at once
(polyphase): of the released 16, 11 and 7 three are left each.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.nn.layers import convolution
from cosy_jax.nn.precision import FLOAT32, Precision


class Upsampling(nn.Module):
    """(B, T, I) -> (B, rate T, O). Parameters as of the convolution: kernel (K, I, O), bias (O,)."""

    features: int
    kernel_size: int
    rate: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, x.shape[-1], self.features)
        kernel = self.param("kernel", nn.initializers.normal(0.02), shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        folded = fold_kernel(kernel, self.rate, self.precision)
        y = convolution(x, folded, 1, 1, (len(folded) - 1, 0), self.precision)
        return y.reshape(len(x), self.rate * x.shape[1], self.features) + bias.astype(y.dtype)


def fold_kernel(kernel: jax.Array, rate: int, precision: Precision = FLOAT32) -> jax.Array:
    """A causal convolution's kernel (K, I, O), of values that are each repeated `rate` times, as one of the values
    themselves whose outputs are all phases (J, I, rate O)."""
    taps = len(kernel)
    seen = (np.arange(rate)[:, None] - (taps - 1 - np.arange(taps))) // rate  # (rate, K), 0 is the newest value
    parts = 1 - int(seen.min())
    which = seen == np.arange(1 - parts, 1)[:, None, None]  # (J, rate, K)
    folded = precision.einsum("jpk,kio->jipo", jnp.asarray(which, kernel.dtype), kernel)
    return folded.reshape(parts, kernel.shape[1], -1)
