"""S3 tokenizer v3: whisper log-mel at 100 Hz to speech tokens at 25 Hz.

B batch, T mel frames, L tokens (L = T / 4), M mel bands, D model, H heads, K channels of a head, N digits of a code.
q and k in einsum letters are query and key positions.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import SpeechTokenizerConfig
from cosy_jax.nn.layers import Conv1d, LayerNorm, Linear, length_mask
from cosy_jax.nn.precision import FLOAT32, THREE_PASSES, Precision
from cosy_jax.nn.programs import program
from cosy_jax.nn.rotary import rotate_half, rotation
from cosy_jax.nn.stacked import STACKED

_CODE_BOUND = 0.999  # keeps tanh off its ends
_MLP_RATIO = 4


class SpeechTokenizer(nn.Module):
    """Two strided convolutions, transformer blocks with a memory branch, finite scalar quantisation.

    Parameters: conv1, conv2, blocks_{n}, code_projection. Reference: s3tokenizer/model_v2.py and the released graph
    (which has eps 1e-5 in both norms and no final norm); FSMN https://arxiv.org/abs/1512.08301, FSQ
    https://arxiv.org/abs/2309.15505.
    """

    config: SpeechTokenizerConfig
    precision: Precision = FLOAT32

    def setup(self) -> None:
        convolution = functools.partial(Conv1d, self.config.dim, 3, stride=2, padding=(1, 1), precision=self.precision)
        self.conv1 = convolution()
        self.conv2 = convolution()
        self.blocks = [Block(self.config, self.precision) for _ in range(self.config.num_blocks)]
        self.code_projection = Linear(self.config.code_dim, precision=self.precision)

    def __call__(self, mel: jax.Array, lengths: jax.Array) -> tuple[jax.Array, jax.Array]:
        """mel (B, T, M), lengths int (B,) in frames -> code values before rounding (B, L, N), their lengths (B,)."""
        x = mel
        for convolution in (self.conv1, self.conv2):
            x = jnp.where(length_mask(lengths, x.shape[1])[..., None], x, 0)
            x = jax.nn.gelu(convolution(x), approximate=False)
            lengths = (lengths + 1) // 2
        mask = length_mask(lengths, x.shape[1])
        turn = rotation(jnp.arange(x.shape[1]), self.config.head_dim, self.config.rope_theta)
        through = self._looped if self.has_variable("params", STACKED) else self._in_turn
        x = through(x, mask, turn)
        return jnp.tanh(self.code_projection(x)) * _CODE_BOUND, lengths

    def _in_turn(self, x: jax.Array, mask: jax.Array, turn: tuple[jax.Array, jax.Array]) -> jax.Array:
        for block in self.blocks:
            x = block(x, mask, turn)
        return x

    def _looped(self, x: jax.Array, mask: jax.Array, turn: tuple[jax.Array, jax.Array]) -> jax.Array:
        """As `_in_turn`, the blocks as one loop."""
        alone = Block(self.config, self.precision, parent=None)

        def through(x: jax.Array, params: dict) -> tuple[jax.Array, None]:
            return alone.apply({"params": params}, x, mask, turn), None

        return lax.scan(through, x, self.get_variable("params", STACKED))[0]


class Block(nn.Module):
    """Pre-norm attention and MLP. (B, L, D), mask bool (B, L) -> (B, L, D)."""

    config: SpeechTokenizerConfig
    precision: Precision = FLOAT32

    def setup(self) -> None:
        self.attention_norm = LayerNorm(self.config.norm_eps)
        self.attention = MemoryAttention(self.config, self.precision)
        self.mlp_norm = LayerNorm(self.config.norm_eps)
        self.mlp = MLP(_MLP_RATIO * self.config.dim, self.precision)

    def __call__(self, x: jax.Array, mask: jax.Array, turn: tuple[jax.Array, jax.Array]) -> jax.Array:
        x = x + self.attention(self.attention_norm(x), mask, turn)
        return x + self.mlp(self.mlp_norm(x))


class MemoryAttention(nn.Module):
    """Self-attention plus a depthwise convolution over the values (the FSMN memory).

    Parameters: query, value, output {kernel, bias}, key {kernel}, memory {kernel (31, 1, D)}.
    """

    config: SpeechTokenizerConfig
    precision: Precision = FLOAT32

    def setup(self) -> None:
        dim, taps = self.config.dim, self.config.memory_kernel
        linear = functools.partial(Linear, dim, precision=self.precision)
        left = (taps - 1) // 2
        self.query = linear()
        self.key = linear(use_bias=False)
        self.value = linear()
        self.output = linear()
        self.memory = Conv1d(
            dim, taps, groups=dim, padding=(left, taps - 1 - left), use_bias=False, precision=self.precision
        )

    def __call__(self, x: jax.Array, mask: jax.Array, turn: tuple[jax.Array, jax.Array]) -> jax.Array:
        """x (B, L, D), mask bool (B, L), turn cosines and sines (L, K / 2) -> (B, L, D)."""
        heads = (*x.shape[:2], self.config.heads, self.config.head_dim)
        scale = self.config.head_dim**-0.25
        value = self.value(x)
        query = rotate_half(self.query(x).reshape(heads), *turn) * scale
        key = rotate_half(self.key(x).reshape(heads), *turn) * scale
        scores = self.precision.einsum("bqhk,bvhk->bhqv", query, key)
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(scores.dtype).min)
        weights = jax.nn.softmax(scores, axis=-1)
        mixed = self.precision.einsum("bhqv,bvhk->bqhk", weights, value.reshape(heads))
        return self.output(mixed.reshape(x.shape)) + self._remember(value, mask[..., None])

    def _remember(self, value: jax.Array, mask: jax.Array) -> jax.Array:
        value = jnp.where(mask, value, 0)
        return jnp.where(mask, self.memory(value) + value, 0)


class MLP(nn.Module):
    """linear1, exact GELU, linear2. (..., D) -> (..., D)."""

    hidden: int
    precision: Precision = FLOAT32

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = Linear(self.hidden, precision=self.precision, name="linear1")(x)
        hidden = jax.nn.gelu(hidden, approximate=False)
        return Linear(x.shape[-1], precision=self.precision, name="linear2")(hidden)


def code_ids(values: jax.Array, levels: int) -> jax.Array:
    """Code values in (-1, 1), (..., N), to ids int32 (...): each rounded to -1, 0 or 1, read as base-`levels` digits.

    The first value is the least significant digit.
    """
    digits = jnp.round(values).astype(jnp.int32) + 1
    return jnp.sum(digits * levels ** np.arange(values.shape[-1], dtype=np.int32), axis=-1, dtype=jnp.int32)


@program(static_argnames=("config",))
def encode_speech(
    params: dict,
    config: SpeechTokenizerConfig,
    mel: jax.Array | np.ndarray,
    lengths: jax.Array | np.ndarray,
) -> tuple[jax.Array, jax.Array]:
    """Speech tokens of whisper log-mels, padded rows as if alone.

    mel float32 (B, T, 128) at 100 Hz, lengths int (B,) in frames -> ids int32 (B, L = (T + 3) // 4), 0 beyond the end
    of a row, and id lengths int32 (B,).
    """
    precision = THREE_PASSES if STACKED in params else FLOAT32
    values, id_lengths = SpeechTokenizer(config, precision).apply({"params": params}, mel, lengths)
    ids = code_ids(values, config.levels)
    return jnp.where(length_mask(id_lengths, ids.shape[1]), ids, 0), id_lengths.astype(jnp.int32)
