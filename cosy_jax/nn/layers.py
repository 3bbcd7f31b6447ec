"""Layers that several stages share. All arrays are channel-last; results are float32 (float64 under that policy).

B batch, T frames, C channels, D model width, I/O input/output features, K kernel taps, G groups, V vocabulary.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.nn import backend, int8
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.nn.taps import tap_convolution

_INIT = nn.initializers.normal(0.02)


class Linear(nn.Module):
    """y = x Wᵀ + b. Parameters: kernel (O, I), bias (O,). Input (..., I), output float32 (..., O).

    A kernel of type int8 has a kernel_scale (O,) beside it (`int8.quantise`); one that is learnt by a change of low
    rank r has lora_a (r, I) and lora_b (O, r), and y gains x lora_aᵀ lora_bᵀ. The kernel is stored output-first: with
    one or a few rows, XLA's CPU product is 1.3 to 1.7 times faster so.
    """

    features: int
    use_bias: bool = True
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        kernel = self.param("kernel", _INIT, (self.features, x.shape[-1]))
        if kernel.dtype == jnp.int8:
            scale = self.param("kernel_scale", nn.initializers.ones, (self.features,))
            y = int8.product(x, kernel, scale, self.precision)
        else:
            y = self.precision.linear(x, kernel)
        if self.has_variable("params", "lora_a"):
            inner = self.precision.linear(x, self.get_variable("params", "lora_a"))
            y = y + self.precision.linear(inner, self.get_variable("params", "lora_b"))
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)
        return y


class Conv1d(nn.Module):
    """Convolution over time. Parameters: kernel (K, I/G, O), bias (O,). Input (B, T, I), output float32 (B, T', O).

    `padding` is (left, right) zeros. The default is causal: everything on the left.
    """

    features: int
    kernel_size: int
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    padding: tuple[int, int] | None = None
    use_bias: bool = True
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel_size, x.shape[-1] // self.groups, self.features)
        kernel = self.param("kernel", _INIT, shape)
        padding = self.padding or (self.dilation * (self.kernel_size - 1), 0)
        if self.groups > 1 and self.stride == 1:
            y = grouped_convolution(x, kernel, self.groups, self.dilation, padding, self.precision)
        else:
            y = convolution(x, kernel, self.groups, self.dilation, padding, self.precision, self.stride)
        if self.use_bias:
            y = y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)
        return y


def convolution(
    x: jax.Array,
    kernel: jax.Array,
    groups: int,
    dilation: int,
    padding: tuple[int, int],
    precision: Precision,
    stride: int = 1,
) -> jax.Array:
    """x (B, T, I), kernel (K, I/G, O), zeros left and right -> (B, T', O) in the accumulation type."""

    def at_once(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(
            x.astype(precision.compute),
            kernel.astype(precision.compute),
            window_strides=(stride,),
            padding=[padding],
            rhs_dilation=(dilation,),
            dimension_numbers=("NWC", "WIO", "NWC"),
            feature_group_count=groups,
            precision=precision.lax_precision,
            preferred_element_type=precision.accumulate,
        )

    def by_taps(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return tap_convolution(jnp.pad(x, ((0, 0), padding, (0, 0))), kernel, precision, stride, dilation)

    dense, depthwise = groups == 1, groups == x.shape[-1] == kernel.shape[-1] and stride == 1
    if not (dense or depthwise) or min(stride, dilation) > 1:
        return at_once(x, kernel)
    return backend.by_platform(x, kernel, cpu=at_once, other=at_once, tpu=by_taps)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3, 4, 5))
def grouped_convolution(
    x: jax.Array, kernel: jax.Array, groups: int, dilation: int, padding: tuple[int, int], precision: Precision
) -> jax.Array:
    """`convolution`, on a CPU group by group, whose gradient to the kernel is taken tap by tap.

    XLA's CPU backend takes 2.4 to 5 times as long for the groups at once; the numbers are the same. Its own gradient is
    4 to 9 times slower, and wrong (twice what it is) where rows are split over one axis of a mesh and copied over
    another.
    """

    def together(x: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolution(x, kernel, groups, dilation, padding, precision)

    def apart(x: jax.Array, kernel: jax.Array) -> jax.Array:
        parts = zip(jnp.split(x, groups, axis=-1), jnp.split(kernel, groups, axis=-1), strict=True)
        return jnp.concatenate([convolution(*part, 1, dilation, padding, precision) for part in parts], axis=-1)

    if groups == x.shape[-1]:  # a channel each
        return together(x, kernel)
    return backend.by_platform(x, kernel, cpu=apart, other=together)


def _grouped_forward(
    x: jax.Array, kernel: jax.Array, groups: int, dilation: int, padding: tuple[int, int], precision: Precision
) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    return grouped_convolution(x, kernel, groups, dilation, padding, precision), (x, kernel)


def _grouped_backward(
    groups: int,
    dilation: int,
    padding: tuple[int, int],
    precision: Precision,
    kept: tuple[jax.Array, jax.Array],
    gradient: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    x, kernel = kept
    _, to_x = jax.vjp(lambda x: convolution(x, kernel, groups, dilation, padding, precision), x)
    padded = jnp.pad(x, ((0, 0), padding, (0, 0)))
    batch, length, features = gradient.shape
    wanted = gradient.reshape(batch, length, groups, features // groups)
    taps = []
    for tap in range(len(kernel)):
        seen = lax.slice_in_dim(padded, tap * dilation, tap * dilation + length, axis=1)
        seen = seen.reshape(batch, length, groups, -1)
        taps.append(precision.einsum("btgi,btgo->igo", seen, wanted).reshape(-1, features))
    return (*to_x(gradient), jnp.stack(taps).astype(kernel.dtype))


grouped_convolution.defvjp(_grouped_forward, _grouped_backward)


class Embedding(nn.Module):
    """Table lookup. Parameters: embedding (V, D). Input int (...), output float32 (..., D)."""

    vocab_size: int
    features: int

    def setup(self) -> None:
        self.embedding = self.param("embedding", _INIT, (self.vocab_size, self.features))

    def __call__(self, ids: jax.Array) -> jax.Array:
        return at_least_float32(jnp.take(self.embedding, ids, axis=0, mode="clip"))


class RMSNorm(nn.Module):
    """x / rms(x) * scale, over the last axis, in float32. Parameters: scale (D,)."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        x = at_least_float32(x)
        return x * lax.rsqrt(jnp.mean(x * x, axis=-1, keepdims=True) + self.epsilon) * scale.astype(x.dtype)


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis with scale and bias (D,), in float32."""

    epsilon: float

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        scale = self.param("scale", nn.initializers.ones, (x.shape[-1],))
        bias = self.param("bias", nn.initializers.zeros, (x.shape[-1],))
        x = normalise(x, self.epsilon)
        return x * scale.astype(x.dtype) + bias.astype(x.dtype)


def normalise(x: jax.Array, epsilon: float) -> jax.Array:
    """Zero mean and unit variance over the last axis (D), in float32: layer norm without affine part.

    The variance is taken of the centred values: E[x²] - E[x]² cancels badly in float32.
    """
    x = at_least_float32(x)
    centred = x - jnp.mean(x, axis=-1, keepdims=True)
    return centred * lax.rsqrt(jnp.mean(centred * centred, axis=-1, keepdims=True) + epsilon)


def at_least_float32(x: jax.Array) -> jax.Array:
    """x as float32, or as it is where it is float64."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def length_mask(lengths: jax.Array, size: int) -> jax.Array:
    """True where position < length: int (B,) -> bool (B, size)."""
    return jnp.arange(size) < lengths[:, None]
