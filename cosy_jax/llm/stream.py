"""Speech ids in blocks, while more of them are drawn.

B batch (1 here), N new ids. The ids are those of `generate` for the same key, whatever the block sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax import buckets
from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.decode import DecodeState, Limits, Prompts, RasSampler, Sampler, advance, start
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.silence import cap_blocks
from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.precision import FLOAT32, Precision


@dataclass(frozen=True)
class BlockDecoder:
    """What stays the same from block to block of one row."""

    params: dict
    key: jax.Array  # ()
    config: LLMConfig
    sampler: Sampler
    precision: Precision = FLOAT32
    reference_slip: bool = False

    def draw(self, state: DecodeState, limits: Limits, steps: int) -> tuple[DecodeState, list[int]]:
        """The state after at most `steps` draws, and the speech ids among them; `state` is donated."""
        before = int(state.step)
        state = advance(
            self.params,
            state,
            limits,
            self.key[None],
            steps=steps,
            config=self.config,
            sampler=self.sampler,
            precision=self.precision,
            reference_slip=self.reference_slip,
        )
        drawn = np.asarray(state.tokens)[0, before:]
        return state, drawn[drawn >= 0].tolist()


def is_done(state: DecodeState) -> bool:
    """Whether the one row has drawn a stop id or all it may."""
    return bool(np.asarray(state.done)[0])


def check_block(*sizes: int) -> None:
    """CosyError for a block size below 1."""
    if min(sizes) < 1:
        raise CosyError(f"A block of speech ids cannot hold {min(sizes)}: ask for blocks of 1 or more.")


def stream_tokens(
    params: dict,
    row: TokenRow,
    key: jax.Array,
    *,
    min_new: int,
    max_new: int,
    config: LLMConfig,
    sampling: SamplingConfig,
    precision: Precision = FLOAT32,
    reference_slip: bool = False,
    first_block: int = 25,
    block: int = 25,
) -> Iterator[list[int]]:
    """Yields speech ids, silence capped, in blocks drawn `first_block` and then `block` at a time.

    A block is shorter where silence was dropped or the row ended; empty ones are not yielded, and a row that ends at
    once yields nothing. Closing the iterator early drops the row. Raises CosyError, at the call, for a block size
    below 1 and for a prompt or speech longer than the buckets.
    """
    check_block(first_block, block)
    size = buckets.bucket(len(row.ids), buckets.LM_PROMPT, "The prompt with the text")
    new = buckets.bucket(max_new, buckets.LM_NEW, "The speech of this text")
    prompts = pad_prompt(row, size, min_new, max_new)
    decoder = BlockDecoder(params, key, config, RasSampler(sampling), precision, reference_slip)
    return cap_blocks(_blocks(decoder, prompts, size, new, sampling.window, first_block, block))


def pad_prompt(row: TokenRow, size: int, min_new: int, max_new: int) -> Prompts:
    """A batch of one row, padded to `size` positions."""
    pad = (0, size - len(row.ids))
    return Prompts(
        ids=jnp.asarray(np.pad(row.ids, pad)[None]),
        is_text=jnp.asarray(np.pad(row.is_text, pad)[None]),
        lengths=jnp.asarray(np.asarray([len(row.ids)], np.int32)),
        min_new=jnp.asarray(np.asarray([min_new], np.int32)),
        max_new=jnp.asarray(np.asarray([max_new], np.int32)),
    )


def _blocks(
    decoder: BlockDecoder, prompts: Prompts, size: int, new: int, window: int, first_block: int, block: int
) -> Iterator[list[int]]:
    config, precision = decoder.config, decoder.precision
    cache = init_cache(config, 1, size + new, precision)
    state = start(decoder.params, cache, prompts, config=config, window=window, bucket=new, precision=precision)
    limits = Limits(prompts.min_new, prompts.max_new, jnp.asarray(np.zeros(1, bool)))
    steps = first_block
    while not is_done(state):
        state, ids = decoder.draw(state, limits, steps)
        yield ids
        steps = block
