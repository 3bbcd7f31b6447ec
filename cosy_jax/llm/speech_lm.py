"""The speech language model: text and speech embeddings around the Qwen2 backbone (reference: CosyVoice3LM).

B batch, T positions, D model, V speech vocabulary. What the model continues, its context, is one row of ids with a flag
that says of each id whether it is a text id or a speech id.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.llm.qwen2 import Backbone, Cache
from cosy_jax.nn.layers import Embedding, Linear
from cosy_jax.nn.precision import FLOAT32, Precision


class TokenRow(NamedTuple):
    """Ids (T,) int32 and, for each, whether it is a text id (T,) bool."""

    ids: np.ndarray
    is_text: np.ndarray


def context_row(text_ids: list[int], speech_ids: np.ndarray, config: LLMConfig) -> TokenRow:
    """The layout of the reference: [sos, text, task, prompt speech]; text is prompt text then text to speak."""
    ids = [config.sos_id, *text_ids, config.task_id, *(int(i) for i in speech_ids)]
    is_text = np.zeros(len(ids), bool)
    is_text[1 : 1 + len(text_ids)] = True
    return TokenRow(np.asarray(ids, np.int32), is_text)


class SpeechLM(nn.Module):
    """Embeds, runs the backbone and scores speech ids."""

    config: LLMConfig
    precision: Precision = FLOAT32
    remat: bool = False

    def setup(self) -> None:
        c = self.config
        self.text_embedding = Embedding(c.text_vocab_size, c.hidden_size)
        self.speech_embedding = Embedding(c.speech_vocab_size, c.hidden_size)
        self.backbone = Backbone(c, self.precision, self.remat)
        self.speech_head = Linear(c.speech_vocab_size, False, self.precision)

    def embed(self, ids: jax.Array, is_text: jax.Array) -> jax.Array:
        """Ids int (B, T) and flags bool (B, T) -> float32 (B, T, D)."""
        return jnp.where(is_text[..., None], self.text_embedding(ids), self.speech_embedding(ids))

    def prefill(self, ids: jax.Array, is_text: jax.Array, lengths: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Run right-padded contexts (B, T) into an empty cache; logits float32 (B, V) after each row's last id."""
        hidden, cache = self.hidden(ids, is_text, cache)
        last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
        return self.speech_head(last)[:, 0], cache

    def step(self, ids: jax.Array, positions: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """One speech id a row (B,) at its position (B,) -> logits float32 (B, V)."""
        x = self.speech_embedding(ids)[:, None]
        hidden, cache = self.backbone(x, positions[:, None], cache, prefill=False)
        return self.speech_head(hidden)[:, 0], cache

    def append(
        self, ids: jax.Array, is_text: jax.Array, lengths: jax.Array, start: jax.Array, cache: Cache
    ) -> tuple[jax.Array, Cache]:
        """Run ids (B, T), right-padded, at positions start (B,) and on; logits float32 (B, V) after each row's last."""
        positions = start[:, None] + jnp.arange(ids.shape[1])
        hidden, cache = self.backbone(self.embed(ids, is_text), positions, cache, prefill=False)
        last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
        return self.speech_head(last)[:, 0], cache

    def hidden(self, ids: jax.Array, is_text: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Hidden states float32 (B, T, D) of whole rows, from an empty cache."""
        positions = jnp.broadcast_to(jnp.arange(ids.shape[1]), ids.shape)
        return self.backbone(self.embed(ids, is_text), positions, cache, prefill=True)

    def score(self, hidden: jax.Array) -> jax.Array:
        """Hidden states float32 (B, T, D) -> logits float32 (B, T, V)."""
        return self.speech_head(hidden)

    def __call__(self, ids: jax.Array, is_text: jax.Array, cache: Cache) -> tuple[jax.Array, Cache]:
        """Logits float32 (B, T, V) after every id of whole rows (teacher forcing)."""
        hidden, cache = self.hidden(ids, is_text, cache)
        return self.speech_head(hidden), cache
