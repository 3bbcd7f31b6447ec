"""The diffusion transformer that predicts the flow's velocity (reference: cosyvoice/flow/DiT).

B rows, T frames, D model, H heads, E head width, M mel bands, N time steps.

Guidance runs every utterance twice at the same time t, and t takes the same few values in every utterance, so all
adaLN modulations are computed once for all steps, outside the ODE loop (`modulations`).
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cosy_jax.config import FlowConfig
from cosy_jax.layers import Conv1d, Linear, normalise
from cosy_jax.precision import Precision

_NORM_EPS = 1e-6


class TimeEmbedding(nn.Module):
    """Sinusoidal features of 1000 t and a two-layer MLP: (N,) -> (N, D)."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        half = self.config.time_dim // 2
        rates = jnp.exp(jnp.arange(half, dtype=jnp.float32) * -(jnp.log(10000.0) / (half - 1)))
        angles = 1000.0 * t[:, None] * rates
        x = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        x = Linear(self.config.dim, precision=self.precision, name="linear1")(x)
        return Linear(self.config.dim, precision=self.precision, name="linear2")(jax.nn.silu(x))


class InputEmbedding(nn.Module):
    """Projects [x, cond, mu, speaker] and adds two causal grouped convolutions as position embedding."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, cond: jax.Array, mu: jax.Array, speaker: jax.Array) -> jax.Array:
        """x, cond, mu (B, T, M), speaker (B, M) -> (B, T, D)."""
        c = self.config
        speaker = jnp.broadcast_to(speaker[:, None], mu.shape)
        x = jnp.concatenate([x, cond, mu, speaker], axis=-1)
        x = Linear(c.dim, precision=self.precision, name="projection")(x)
        h = x
        for name in ("conv1", "conv2"):
            conv = Conv1d(c.dim, c.conv_kernel, groups=c.conv_groups, precision=self.precision, name=name)
            h = mish(conv(h))
        return x + h


def mish(x: jax.Array) -> jax.Array:
    """x tanh(softplus(x)) (https://arxiv.org/abs/1908.08681)."""
    return x * jnp.tanh(jax.nn.softplus(x))


def rotary(length: int, dim: int) -> tuple[jax.Array, jax.Array]:
    """Cosines and sines (T, dim / 2) float32 for frames 0 .. T - 1, base 10000."""
    inverse = 1.0 / 10000.0 ** (jnp.arange(0, dim, 2, dtype=jnp.float32) / dim)
    angles = jnp.arange(length, dtype=jnp.float32)[:, None] * inverse
    return jnp.cos(angles), jnp.sin(angles)


def rotate_first_head(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rotate interleaved pairs of head 0 of (B, T, H, E).

    The reference applies the rotation before it splits the heads, and it covers the first E channels only: heads 1 to
    H - 1 carry no position. The released weights were trained so.
    """
    head = x[:, :, 0]
    even, odd = head[..., 0::2], head[..., 1::2]
    rotated = jnp.stack([even * cos - odd * sin, odd * cos + even * sin], axis=-1).reshape(head.shape)
    return jnp.concatenate([rotated[:, :, None], x[:, :, 1:]], axis=2)


class Attention(nn.Module):
    """Masked multi-head self-attention."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """x (B, T, D), mask bool broadcastable to (B, T, T) -> (B, T, D)."""
        c = self.config
        batch, length, _ = x.shape

        def project(name: str) -> jax.Array:
            y = Linear(c.heads * c.head_dim, precision=self.precision, name=name)(x)
            return y.reshape(batch, length, c.heads, c.head_dim)

        cos, sin = rotary(length, c.head_dim)
        query = rotate_first_head(project("query"), cos, sin)
        key = rotate_first_head(project("key"), cos, sin)
        scores = self.precision.einsum("bthe,bshe->bhts", query, key) * c.head_dim**-0.5
        scores = jnp.where(mask[:, None], scores, jnp.finfo(jnp.float32).min)
        out = self.precision.einsum("bhts,bshe->bthe", jax.nn.softmax(scores, axis=-1), project("value"))
        return Linear(c.dim, precision=self.precision, name="output")(out.reshape(batch, length, -1))


class FeedForward(nn.Module):
    """Linear, tanh GELU, linear."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = Linear(self.config.dim * self.config.ff_mult, precision=self.precision, name="linear1")(x)
        return Linear(self.config.dim, precision=self.precision, name="linear2")(jax.nn.gelu(x, approximate=True))


class Block(nn.Module):
    """adaLN-zero transformer block (https://arxiv.org/abs/2212.09748)."""

    config: FlowConfig
    precision: Precision

    def setup(self) -> None:
        self.modulation = Linear(6 * self.config.dim, precision=self.precision)
        self.attention = Attention(self.config, self.precision)
        self.feed_forward = FeedForward(self.config, self.precision)

    def modulate(self, time: jax.Array) -> jax.Array:
        """Shift, scale and gate of attention, then of the feed-forward: (N, D) -> (N, 6, D)."""
        return self.modulation(jax.nn.silu(time)).reshape(time.shape[0], 6, -1)

    def __call__(self, x: jax.Array, modulation: jax.Array, mask: jax.Array) -> jax.Array:
        """x (B, T, D), modulation (6, D) of this time step."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = modulation
        x = x + gate * self.attention(normalise(x, _NORM_EPS) * (1 + scale) + shift, mask)
        return x + ff_gate * self.feed_forward(normalise(x, _NORM_EPS) * (1 + ff_scale) + ff_shift)


class DiT(nn.Module):
    """Velocity of the flow at one time step."""

    config: FlowConfig
    precision: Precision

    def setup(self) -> None:
        c = self.config
        self.time_embedding = TimeEmbedding(c, self.precision)
        self.input_embedding = InputEmbedding(c, self.precision)
        self.blocks = [Block(c, self.precision) for _ in range(c.depth)]
        self.final_modulation = Linear(2 * c.dim, precision=self.precision)
        self.output_projection = Linear(c.mel_bands, precision=self.precision)

    def modulations(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """All adaLN vectors of time steps t (N,): (N, depth, 6, D) and, for the final norm, (N, 2, D)."""
        time = self.time_embedding(t)
        blocks = jnp.stack([block.modulate(time) for block in self.blocks], axis=1)
        return blocks, self.final_modulation(jax.nn.silu(time)).reshape(time.shape[0], 2, -1)

    def __call__(
        self,
        x: jax.Array,
        cond: jax.Array,
        mu: jax.Array,
        speaker: jax.Array,
        modulation: tuple[jax.Array, jax.Array],
        mask: jax.Array,
    ) -> jax.Array:
        """x, cond, mu (B, T, M), speaker (B, M), modulation of one step ((depth, 6, D), (2, D)), mask bool
        broadcastable to (B, T, T) -> velocity float32 (B, T, M)."""
        blocks, (scale, shift) = modulation
        h = self.input_embedding(x, cond, mu, speaker)
        for index, block in enumerate(self.blocks):
            h = block(h, blocks[index], mask)
        return self.output_projection(normalise(h, _NORM_EPS) * (1 + scale) + shift)
