"""What the language model is asked for: rows of ids to continue, alone and as a padded batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np

from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.nn import buckets


@dataclass(frozen=True)
class Context:
    """One row to decode: the ids to continue, its PRNG key and the bounds on its number of speech ids. CosyError where
    ids or speech are longer than the buckets."""

    row: TokenRow
    key: jax.Array  # ()
    min_new: int
    max_new: int

    def __post_init__(self) -> None:
        # Both raise where there is no bucket: better here, alone, than in the middle of a batch.
        self.bucket()
        self.new_bucket()

    def bucket(self) -> int:
        """The length that the ids are padded to."""
        return buckets.bucket(len(self.row.ids), buckets.LM_CONTEXT, "The prompt with the text")

    def new_bucket(self) -> int:
        """Room for the speech ids."""
        return buckets.bucket(self.max_new, buckets.LM_NEW, "The speech of this text")


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class ContextBatch:
    """Right-padded contexts, T positions: ids int (B, T), is_text bool (B, T), lengths int (B,); min_new and max_new
    int (B,) bound the number of speech ids of each row."""

    ids: jax.Array
    is_text: jax.Array
    lengths: jax.Array
    min_new: jax.Array
    max_new: jax.Array


def pad_contexts(contexts: Sequence[Context], size: int, rows: int) -> ContextBatch:
    """The contexts as a batch of `rows` rows and `size` positions; a row beyond them is one id long and done from the
    start."""
    ids, is_text = np.zeros((rows, size), np.int32), np.zeros((rows, size), bool)
    lengths, min_new, max_new = np.ones(rows, np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    for index, context in enumerate(contexts):
        length = lengths[index] = len(context.row.ids)
        ids[index, :length], is_text[index, :length] = context.row
        min_new[index], max_new[index] = context.min_new, context.max_new
    return ContextBatch(*map(jax.device_put, (ids, is_text, lengths, min_new, max_new)))
