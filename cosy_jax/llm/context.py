"""What the language model is asked for: one row of ids to continue."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.llm.decode import Prompts
from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.nn import buckets


@dataclass(frozen=True)
class Request:
    """One row to decode: its prompt, its PRNG key and the bounds on its number of speech ids. CosyError where prompt
    or speech are longer than the buckets."""

    row: TokenRow
    key: jax.Array  # ()
    min_new: int
    max_new: int

    def __post_init__(self) -> None:
        # Both raise where there is no bucket: better here, alone, than in the middle of a batch.
        self.prompt_bucket()
        self.new_bucket()

    def prompt_bucket(self) -> int:
        """The length that the prompt is padded to."""
        return buckets.bucket(len(self.row.ids), buckets.LM_PROMPT, "The prompt with the text")

    def new_bucket(self) -> int:
        """Room for the speech ids."""
        return buckets.bucket(self.max_new, buckets.LM_NEW, "The speech of this text")


def pad_prompts(requests: Sequence[Request], size: int, rows: int) -> Prompts:
    """The prompts as a batch of `rows` rows and `size` positions; a row beyond the requests is one id long and done
    from the start."""
    ids, is_text = np.zeros((rows, size), np.int32), np.zeros((rows, size), bool)
    lengths, min_new, max_new = np.ones(rows, np.int32), np.zeros(rows, np.int32), np.zeros(rows, np.int32)
    for index, request in enumerate(requests):
        length = lengths[index] = len(request.row.ids)
        ids[index, :length], is_text[index, :length] = request.row
        min_new[index], max_new[index] = request.min_new, request.max_new
    return Prompts(*map(jnp.asarray, (ids, is_text, lengths, min_new, max_new)))
