"""The diffusion transformer that predicts the flow's velocity (reference: cosyvoice/flow/DiT).

B rows, T frames, D model, H heads, E head width, M mel bands, N time steps.

When solving, guidance runs every utterance twice at the same time t, and t takes the same few values in every
utterance, so all adaLN modulations are computed once for all steps, outside the ODE loop (`modulations`).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.nn.attention import attend
from cosy_jax.nn.layers import Conv1d, Linear, at_least_float32, normalise
from cosy_jax.nn.precision import Precision
from cosy_jax.nn.rotary import rotate_interleaved, rotation
from cosy_jax.nn.stacked import STACKED, stack

_NORM_EPS = 1e-6
ROTARY_BASE = 10000.0


class TimeEmbedding(nn.Module):
    """Sinusoidal features of 1000 t and a two-layer MLP: (...) -> (..., D)."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, t: jax.Array) -> jax.Array:
        half = self.config.time_dim // 2
        rates = jnp.exp(jnp.arange(half, dtype=at_least_float32(t).dtype) * -(math.log(10000.0) / (half - 1)))
        angles = 1000.0 * t[..., None] * rates
        x = jnp.concatenate([jnp.sin(angles), jnp.cos(angles)], axis=-1)
        x = Linear(self.config.dim, precision=self.precision, name="linear1")(x)
        return Linear(self.config.dim, precision=self.precision, name="linear2")(jax.nn.silu(x))


class InputEmbedding(nn.Module):
    """Projects [x, cond, mu, speaker] and adds two causal grouped convolutions as position embedding."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, cond: jax.Array, mu: jax.Array, speaker: jax.Array, past: tuple[jax.Array, ...]
    ) -> tuple[jax.Array, tuple[jax.Array, ...]]:
        """x, cond, mu (B, T, M), speaker (B, M) -> (B, T, D), and each convolution's input with its past.

        `past` holds, for each convolution, the `conv_kernel - 1` inputs (B, K - 1, D) left of frame 0.
        """
        c = self.config
        speaker = jnp.broadcast_to(speaker[:, None], mu.shape)
        x = jnp.concatenate([x, cond, mu, speaker], axis=-1)
        x = Linear(c.dim, precision=self.precision, name="projection")(x)
        h, inputs = x, []
        for name, left in zip(("conv1", "conv2"), past, strict=True):
            inputs.append(jnp.concatenate([left.astype(h.dtype), h], axis=1))
            conv = Conv1d(
                c.dim, c.conv_kernel, groups=c.conv_groups, padding=(0, 0), precision=self.precision, name=name
            )
            h = mish(conv(inputs[-1]))
        return x + h, tuple(inputs)


def mish(x: jax.Array) -> jax.Array:
    """x tanh(softplus(x)) (https://arxiv.org/abs/1908.08681)."""
    return x * jnp.tanh(jax.nn.softplus(x))


def rotate_first_head(x: jax.Array, cos: jax.Array, sin: jax.Array) -> jax.Array:
    """Rotate interleaved pairs of head 0 of (B, T, H, E), cos and sin (T, E / 2).

    The reference applies the rotation before it splits the heads, and it covers the first E channels only: heads 1 to
    H - 1 carry no position. The released weights were trained so.
    """
    return jnp.concatenate([rotate_interleaved(x[:, :, :1], cos, sin), x[:, :, 1:]], axis=2)


class LayerPast(NamedTuple):
    """Keys and values of earlier frames in one layer, each (B, S, H, E)."""

    key: jax.Array
    value: jax.Array


class Past(NamedTuple):
    """What a piece of an utterance needs of the pieces before it: the frames that came before (a number, or (B, 1)),
    the inputs of both convolutions (B, K - 1, D) and each layer's keys and values."""

    start: jax.Array | int
    convolutions: tuple[jax.Array, ...]
    layers: tuple[LayerPast, ...]


def no_past(config: FlowConfig, rows: int) -> Past:
    """The past of an utterance that begins: convolutions see zeros, attention sees nothing."""
    zeros = jnp.zeros((rows, config.conv_kernel - 1, config.dim))
    nothing = jnp.zeros((rows, 0, config.heads, config.head_dim))
    return Past(0, (zeros, zeros), (LayerPast(nothing, nothing),) * config.depth)


class Attention(nn.Module):
    """Masked multi-head self-attention."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, mask: jax.Array, start: jax.Array | int, past: LayerPast
    ) -> tuple[jax.Array, LayerPast]:
        """x (B, T, D) at frames start .., mask bool broadcastable to (B, T, S + T) -> (B, T, D), and the keys and
        values of past and present (B, S + T, H, E)."""
        c = self.config
        batch, length, _ = x.shape

        def project(name: str) -> jax.Array:
            y = Linear(c.heads * c.head_dim, precision=self.precision, name=name)(x)
            return y.reshape(batch, length, c.heads, c.head_dim)

        # The released file stores the frequencies, in float32.
        cos, sin = rotation(start + jnp.arange(length), c.head_dim, ROTARY_BASE, self.precision.accumulate)
        query = rotate_first_head(project("query"), cos, sin)
        key = _append(past.key, rotate_first_head(project("key"), cos, sin))
        value = _append(past.value, project("value"))
        out = attend(query, key, value, mask, self.precision)
        out = Linear(c.dim, precision=self.precision, name="output")(out.reshape(batch, length, -1))
        return out, LayerPast(key, value)


def _append(past: jax.Array, present: jax.Array) -> jax.Array:
    if past.shape[1] == 0:
        return present
    return jnp.concatenate([past, present.astype(past.dtype)], axis=1)


class Kept(NamedTuple):
    """What dropout keeps in one block: multipliers, 0 or 1 / (1 - rate), of what attention returns (B, T, D) and of the
    feed-forward's inner values (B, T, F)."""

    attention: jax.Array
    feed_forward: jax.Array


class FeedForward(nn.Module):
    """Linear, tanh GELU, linear."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, kept: jax.Array | None = None) -> jax.Array:
        x = Linear(self.config.dim * self.config.ff_mult, precision=self.precision, name="linear1")(x)
        x = jax.nn.gelu(x, approximate=True)
        x = x if kept is None else x * kept
        return Linear(self.config.dim, precision=self.precision, name="linear2")(x)


class Block(nn.Module):
    """adaLN-zero transformer block (https://arxiv.org/abs/2212.09748)."""

    config: FlowConfig
    precision: Precision

    def setup(self) -> None:
        self.modulation = Linear(6 * self.config.dim, precision=self.precision)
        self.attention = Attention(self.config, self.precision)
        self.feed_forward = FeedForward(self.config, self.precision)

    def modulate(self, time: jax.Array) -> jax.Array:
        """Shift, scale and gate of attention, then of the feed-forward: (..., D) -> (..., 6, D)."""
        return self.modulation(jax.nn.silu(time)).reshape(*time.shape[:-1], 6, -1)

    def __call__(
        self,
        x: jax.Array,
        modulation: jax.Array,
        mask: jax.Array,
        start: jax.Array | int,
        past: LayerPast,
        kept: Kept | None = None,
    ) -> tuple[jax.Array, LayerPast]:
        """x (B, T, D), modulation (R, 6, D) of the rows' times, R as in `DiT`; the rest as `Attention`."""
        shift, scale, gate, ff_shift, ff_scale, ff_gate = jnp.moveaxis(modulation, 1, 0)[:, :, None]
        h, past = self.attention(normalise(x, _NORM_EPS) * (1 + scale) + shift, mask, start, past)
        x = x + gate * (h if kept is None else h * kept.attention)
        inner = None if kept is None else kept.feed_forward
        return x + ff_gate * self.feed_forward(normalise(x, _NORM_EPS) * (1 + ff_scale) + ff_shift, inner), past


class DiT(nn.Module):
    """Velocity of the flow at one time step. With `remat`, gradients compute each block again instead of keeping what
    is inside it."""

    config: FlowConfig
    precision: Precision
    remat: bool = False

    def setup(self) -> None:
        c = self.config
        block = nn.remat(Block) if self.remat else Block
        self.time_embedding = TimeEmbedding(c, self.precision)
        self.input_embedding = InputEmbedding(c, self.precision)
        self.blocks = [block(c, self.precision) for _ in range(c.depth)]
        self.final_modulation = Linear(2 * c.dim, precision=self.precision)
        self.output_projection = Linear(c.mel_bands, precision=self.precision)

    def modulations(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        """All adaLN vectors of times t (..., R): (..., R, depth, 6, D) and, for the final norm, (..., R, 2, D).

        R is 1 where all rows share their time, as in the solver, or B where each has its own, as in training.
        """
        time = self.time_embedding(t)
        if self.has_variable("params", STACKED):
            alone, stacked = self._alone, self.get_variable("params", STACKED)
            blocks = jax.vmap(lambda params: alone.apply({"params": params}, time, method="modulate"))(stacked)
            blocks = jnp.moveaxis(blocks, 0, -3)
        else:
            blocks = jnp.stack([block.modulate(time) for block in self.blocks], axis=-3)
        return blocks, self.final_modulation(jax.nn.silu(time)).reshape(*time.shape[:-1], 2, -1)

    def __call__(
        self,
        x: jax.Array,
        cond: jax.Array,
        mu: jax.Array,
        speaker: jax.Array,
        modulation: tuple[jax.Array, jax.Array],
        mask: jax.Array,
        past: Past | None = None,
        kept: Sequence[Kept] | None = None,
    ) -> tuple[jax.Array, Past]:
        """x, cond, mu (B, T, M), speaker (B, M), modulation of the rows' times ((R, depth, 6, D), (R, 2, D)),
        mask bool broadcastable to (B, T, S + T) -> velocity float32 (B, T, M), and past and present together.

        `kept`, in training, is what dropout leaves of each block.
        """
        past = past or no_past(self.config, x.shape[0])
        blocks, final = modulation
        scale, shift = final[:, 0, None], final[:, 1, None]
        h, convolutions = self.input_embedding(x, cond, mu, speaker, past.convolutions)
        through = self._looped if self.has_variable("params", STACKED) else self._in_turn
        h, layers = through(h, blocks, mask, past, kept)
        velocity = self.output_projection(normalise(h, _NORM_EPS) * (1 + scale) + shift)
        return velocity, Past(past.start + x.shape[1], convolutions, layers)

    def _in_turn(
        self, h: jax.Array, modulation: jax.Array, mask: jax.Array, past: Past, kept: Sequence[Kept] | None
    ) -> tuple[jax.Array, tuple[LayerPast, ...]]:
        layers = []
        for index, block in enumerate(self.blocks):
            left = None if kept is None else kept[index]
            h, layer = block(h, modulation[:, index], mask, past.start, past.layers[index], left)
            layers.append(layer)
        return h, tuple(layers)

    def _looped(
        self, h: jax.Array, modulation: jax.Array, mask: jax.Array, past: Past, kept: Sequence[Kept] | None
    ) -> tuple[jax.Array, tuple[LayerPast, ...]]:
        """As `_in_turn`, the blocks as one loop."""
        alone = self._alone

        def through(h: jax.Array, part: tuple) -> tuple[jax.Array, LayerPast]:
            params, *given = part
            modulation, past_layer, left = given
            return alone.apply({"params": params}, h, modulation, mask, past.start, past_layer, left)

        stacked = self.get_variable("params", STACKED), jnp.moveaxis(modulation, 1, 0)
        h, layers = lax.scan(through, h, (*stacked, stack(past.layers), kept and stack(kept)))
        return h, tuple(LayerPast(*(x[index] for x in layers)) for index in range(self.config.depth))

    @property
    def _alone(self) -> Block:
        return Block(self.config, self.precision, parent=None)
