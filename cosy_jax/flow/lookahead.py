"""From speech tokens to the flow's condition at frame rate (reference: PreLookaheadLayer and the first half of
CausalMaskedDiffWithDiT.inference).

B batch, L tokens, T frames, M mel bands.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from cosy_jax.config import FlowConfig
from cosy_jax.nn.layers import Conv1d, Embedding, Linear, length_mask
from cosy_jax.nn.precision import Precision


class Lookahead(nn.Module):
    """Two convolutions, the first of which sees `lookahead` tokens to the right, and a residual."""

    config: FlowConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array, begin: jax.Array | int = 0) -> jax.Array:
        """x (B, L, M), zero right of each row's end -> (B, L, M). Positions left of `begin`, 0 or (B,), lie before the
        first token: the second convolution sees zeros there."""
        c = self.config
        padding = (0, c.lookahead)
        ahead = Conv1d(c.lookahead_channels, c.lookahead + 1, padding=padding, precision=self.precision, name="conv1")
        y = jax.nn.leaky_relu(ahead(x), 0.01)
        y = jnp.where((jnp.arange(x.shape[1]) >= jnp.reshape(begin, (-1, 1)))[..., None], y, 0.0)
        return x + Conv1d(c.mel_bands, 3, precision=self.precision, name="conv2")(y)


def embed_tokens(embedding: Embedding, tokens: jax.Array, lengths: jax.Array) -> jax.Array:
    """Token vectors (B, L, M), zero beyond each row's length, as the lookahead convolution must see them."""
    return embedding(tokens) * length_mask(lengths, tokens.shape[1])[..., None]


def project_speaker(projection: Linear, speaker: jax.Array) -> jax.Array:
    """Speaker embedding (B, 192) -> (B, M), after L2 normalisation."""
    norm = jnp.linalg.norm(speaker, axis=-1, keepdims=True)
    return projection(speaker / jnp.maximum(norm, 1e-12))
