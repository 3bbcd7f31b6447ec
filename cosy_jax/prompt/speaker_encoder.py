"""CAM++: Kaldi filter bank at 100 Hz to a speaker embedding.

B batch, T frames (half as many after the TDNN layer), F frequency, C channels, G segments.
"""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import SpeakerEncoderConfig
from cosy_jax.nn import backend
from cosy_jax.nn.layers import Conv1d, Linear, at_least_float32, convolution, length_mask
from cosy_jax.nn.precision import FLOAT32, FLOAT64, THREE_PASSES, Precision
from cosy_jax.nn.programs import program
from cosy_jax.prompt.dense_loop import is_joined, through_block

_INIT = nn.initializers.normal(0.02)
_TDNN_TAPS = 5
_HEAD_LAYERS = (1, 2)


class SpeakerEncoder(nn.Module):
    """2-D head, densely connected TDNN blocks with context-aware masking, statistics pooling.

    Parameters: head, tdnn, block{b}_{i}, transit{b}, dense. Reference: speakerlab/models/campplus/DTDNN.py and the
    released graph, in which most batch norms are folded into the convolutions; https://arxiv.org/abs/2303.00332.
    """

    config: SpeakerEncoderConfig
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, fbank: jax.Array, lengths: jax.Array) -> jax.Array:
        """fbank (B, T, F) with its mean over time removed, lengths int (B,) in frames -> embedding (B, 192)."""
        config = self.config
        x = Head(config.head_channels, self.precision, name="head")(fbank, length_mask(lengths, fbank.shape[1]))
        half = _TDNN_TAPS // 2
        tdnn = Conv1d(config.init_channels, _TDNN_TAPS, 2, padding=(half, half), precision=self.precision, name="tdnn")
        x = nn.relu(tdnn(x))
        lengths = (lengths + 1) // 2
        mask = length_mask(lengths, x.shape[1])[..., None]
        last = len(config.block_layers)
        for b in range(1, last + 1):
            x = self._dense_block(b, x, mask)
            # The last transition carries the batch norm that follows it, hence its bias.
            x = Transition(config.norm_eps, b == last, self.precision, name=f"transit{b}")(x, mask)
        statistics = pool_statistics(nn.relu(x), mask)
        return Projection(config.embedding_dim, config.norm_eps, self.precision, name="dense")(statistics)

    def _dense_block(self, b: int, x: jax.Array, mask: jax.Array) -> jax.Array:
        config, name = self.config, f"block{b}"
        shape = config.block_kernels[b - 1], config.block_dilations[b - 1]
        layer = partial(ContextMaskedLayer, config, *shape, self.precision)
        if self.has_variable("params", name):
            alone = layer(parent=None)
            return through_block(lambda p, x: alone.apply({"params": p}, x, mask), self.get_variable("params", name), x)
        for i in range(config.block_layers[b - 1]):
            x = jnp.concatenate([x, layer(name=f"{name}_{i}")(x, mask)], axis=-1)
        return x


class Head(nn.Module):
    """Residual 2-D convolutions that shrink frequency eightfold. (B, T, F), mask bool (B, T) -> (B, T, C * F / 8)."""

    channels: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        mask = mask[:, None, :, None]
        x = jnp.where(mask, x.swapaxes(1, 2)[..., None], 0)
        conv2d = partial(Conv2d, self.channels, precision=self.precision)
        x = masked_relu(conv2d(name="conv1")(x), mask)
        for layer in _HEAD_LAYERS:
            x = ResidualBlock(self.channels, 2, self.precision, name=f"layer{layer}_0")(x, mask)
            x = ResidualBlock(self.channels, 1, self.precision, name=f"layer{layer}_1")(x, mask)
        x = masked_relu(conv2d(stride=2, name="conv2")(x), mask)
        # Channels vary slowest in the features of a frame, as in the reference's (C, F, T) layout.
        return x.transpose(0, 2, 3, 1).reshape(x.shape[0], x.shape[2], -1)


class ResidualBlock(nn.Module):
    """Two convolutions and a shortcut, itself convolved where frequency is halved.

    (B, F, T, C), mask bool (B, 1, T, 1) -> (B, F / stride, T, C).
    """

    channels: int
    stride: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        conv2d = partial(Conv2d, self.channels, precision=self.precision)
        y = masked_relu(conv2d(stride=self.stride, name="conv1")(x), mask)
        y = conv2d(name="conv2")(y)
        if self.stride > 1:
            x = conv2d(1, self.stride, name="shortcut")(x)
        return masked_relu(y + x, mask)


class Conv2d(nn.Module):
    """Square kernel (K, K, I, O) and bias (O,) over (B, F, T, I), zero padded; the stride is along frequency."""

    features: int
    kernel_size: int = 3
    stride: int = 1
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = self.kernel_size
        kernel = self.param("kernel", _INIT, (size, size, x.shape[-1], self.features))
        y = backend.by_platform(x, kernel, cpu=self._at_once, other=self._at_once, tpu=self._over_time)
        return y + self.param("bias", nn.initializers.zeros, (self.features,)).astype(y.dtype)

    def _at_once(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        half = self.kernel_size // 2
        return lax.conv_general_dilated(
            at_least_float32(x),
            at_least_float32(kernel),
            window_strides=(self.stride, 1),
            padding=[(half, half)] * 2,
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            precision=self.precision.lax_precision,
        )

    def _over_time(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        """As a convolution over time of K frequencies side by side."""
        batch, frequencies, frames, inputs = x.shape
        size, half = self.kernel_size, self.kernel_size // 2
        ends = frequencies + 2 * half - size + 1
        padded = jnp.pad(x, ((0, 0), (half, half), (0, 0), (0, 0)))
        beside = [lax.slice_in_dim(padded, f, f + ends, self.stride, axis=1) for f in range(size)]
        rows = jnp.concatenate(beside, axis=-1).reshape(-1, frames, size * inputs)
        taps = kernel.swapaxes(0, 1).reshape(size, size * inputs, self.features)
        precision = FLOAT64 if x.dtype == jnp.float64 else self.precision
        return convolution(rows, taps, 1, 1, (half, half), precision).reshape(batch, -1, frames, self.features)


class ContextMaskedLayer(nn.Module):
    """One densely connected layer. (B, T, C), mask bool (B, T, 1) -> its `growth` new channels (B, T, growth).

    Parameters: norm {scale, bias, mean, var}, bottleneck {kernel, bias}, local {kernel}, context1, context2
    {kernel, bias}.
    """

    config: SpeakerEncoderConfig
    kernel_size: int
    dilation: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        config, linear = self.config, partial(Linear, precision=self.precision)
        x = nn.relu(BatchNorm(config.norm_eps, name="norm")(x, mask))
        x = masked_relu(linear(config.bottleneck_channels, name="bottleneck")(x), mask)
        side = (self.kernel_size - 1) // 2 * self.dilation
        local = Conv1d(
            config.growth,
            self.kernel_size,
            dilation=self.dilation,
            padding=(side, side),
            use_bias=False,
            precision=self.precision,
            name="local",
        )
        context = masked_mean(x, mask) + segment_means(x, mask, config.segment_frames)
        hidden = nn.relu(linear(config.bottleneck_channels // 2, name="context1")(context))
        return local(x) * nn.sigmoid(linear(config.growth, name="context2")(hidden))


class Transition(nn.Module):
    """Batch norm, ReLU, and a projection to half the channels. (B, T, C), mask bool (B, T, 1) -> (B, T, C / 2)."""

    epsilon: float
    use_bias: bool
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = nn.relu(BatchNorm(self.epsilon, name="norm")(x, mask))
        return Linear(x.shape[-1] // 2, self.use_bias, self.precision, name="linear")(x)


class Projection(nn.Module):
    """Projection and batch norm without affine part. (B, C) -> (B, features)."""

    features: int
    epsilon: float
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Linear(self.features, False, self.precision, name="linear")(x)
        return BatchNorm(self.epsilon, affine=False, name="norm")(x, jnp.ones((len(x), 1), bool))


class BatchNorm(nn.Module):
    """Normalisation by stored statistics over the last axis. Parameters: mean, var and, if affine, scale, bias (C,).

    Where the collection "statistics" is mutable, as in training, those of the batch itself take their place, and are
    put there for the stored ones to follow.
    """

    epsilon: float
    affine: bool = True

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x (..., C), mask bool (..., 1): what counts in a batch's statistics."""
        shape = (x.shape[-1],)
        x = at_least_float32(x)
        mean = self.param("mean", nn.initializers.zeros, shape).astype(x.dtype)
        var = self.param("var", nn.initializers.ones, shape).astype(x.dtype)
        if self.is_mutable_collection("statistics") and not self.is_initializing():
            mean, var = _moments(x, mask)
            self.put_variable("statistics", "mean", mean)
            self.put_variable("statistics", "var", var)
        x = (x - mean) * lax.rsqrt(var + self.epsilon)
        if not self.affine:
            return x
        scale = self.param("scale", nn.initializers.ones, shape).astype(x.dtype)
        return x * scale + self.param("bias", nn.initializers.zeros, shape).astype(x.dtype)


def _moments(x: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Mean and variance (C,) of x (..., C) where mask (..., 1)."""
    axes = tuple(range(x.ndim - 1))
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(jnp.where(mask, x, 0), axis=axes) / count
    return mean, jnp.sum(jnp.where(mask, (x - mean) ** 2, 0), axis=axes) / count


def masked_relu(x: jax.Array, mask: jax.Array) -> jax.Array:
    """ReLU, and zero beyond the end of a row, as the next convolution's own padding would be."""
    return jnp.where(mask, nn.relu(x), 0)


def masked_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean over the valid frames: (B, T, C), mask bool (B, T, 1) -> (B, 1, C)."""
    return jnp.sum(jnp.where(mask, x, 0), axis=1, keepdims=True) / jnp.sum(mask, axis=1, keepdims=True)


def segment_means(x: jax.Array, mask: jax.Array, size: int) -> jax.Array:
    """Each frame's segment mean: (B, T, C), mask bool (B, T, 1) -> (B, T, C).

    Segments of `size` frames start at frame 0; the last one averages the frames it has.
    """
    batch, frames, channels = x.shape
    pad = ((0, 0), (0, -frames % size), (0, 0))
    values = jnp.pad(jnp.where(mask, x, 0), pad).reshape(batch, -1, size, channels)
    counts = jnp.pad(mask, pad).reshape(batch, -1, size, 1).sum(axis=2)
    means = values.sum(axis=2) / jnp.maximum(counts, 1)
    return jnp.repeat(means, size, axis=1)[:, :frames]


def pool_statistics(x: jax.Array, mask: jax.Array) -> jax.Array:
    """Mean and unbiased standard deviation over the valid frames: (B, T, C), mask bool (B, T, 1) -> (B, 2 C)."""
    mean = masked_mean(x, mask)
    deviation = jnp.where(mask, x - mean, 0)
    count = jnp.sum(mask, axis=1)
    variance = jnp.sum(deviation * deviation, axis=1) / jnp.maximum(count - 1, 1)
    return jnp.concatenate([mean[:, 0], jnp.sqrt(variance)], axis=-1)


@program(static_argnames=("config",))
def embed_speaker(
    params: dict,
    config: SpeakerEncoderConfig,
    fbank: jax.Array | np.ndarray,
    lengths: jax.Array | np.ndarray,
) -> jax.Array:
    """Speaker embeddings, padded rows as if alone.

    fbank float32 (B, T, 80) at 100 Hz, its mean over each row's own frames removed, lengths int (B,) in frames, at
    least 1 -> float32 (B, 192), not normalised.
    """
    precision = THREE_PASSES if is_joined(params) else FLOAT32
    return SpeakerEncoder(config, precision).apply({"params": params}, fbank, lengths)
