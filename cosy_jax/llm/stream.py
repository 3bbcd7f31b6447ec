"""Speech ids in blocks, while more of them are drawn; or draw by draw, with what the sampler did.

B batch (1 here), N new ids. The ids are those of `generate` for the same key, whatever the block sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context, pad_contexts
from cosy_jax.llm.decode import advance, draw_once, start
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.silence import cap_blocks
from cosy_jax.llm.state import DecodeState, Limits


@dataclass(frozen=True)
class BlockDecoder:
    """What stays the same from block to block of one row."""

    params: dict
    key: jax.Array  # ()
    policy: DecodePolicy

    def draw(self, state: DecodeState, limits: Limits, steps: int) -> tuple[DecodeState, list[int]]:
        """The state after at most `steps` draws, and the speech ids among them; `state` is donated."""
        before = int(state.step[0])
        state = advance(self.params, state, limits, self.key[None], policy=self.policy, steps=steps)
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
    params: dict, context: Context, policy: DecodePolicy, first_block: int = 25, block: int = 25
) -> Iterator[list[int]]:
    """Yields speech ids, silence capped, in blocks drawn `first_block` and then `block` at a time.

    A block is shorter where silence was dropped or the row ended; empty ones are not yielded, and a row that ends at
    once yields nothing. Closing the iterator early drops the row. Raises CosyError, at the call, for a block size
    below 1.
    """
    check_block(first_block, block)
    return cap_blocks(
        _blocks(BlockDecoder(params, context.key, policy), context, first_block, block), policy.config.silent_ids
    )


class Draw(NamedTuple):
    """One id that was drawn, a stop id too, and whether the repetition rule had it drawn again."""

    id: int
    fell_back: bool


def draws(params: dict, context: Context, policy: DecodePolicy) -> Iterator[Draw]:
    """Yields every draw of the run, the one that ends it among them, silence not capped. One call of a program a draw:
    for reports, not for speed."""
    decoder = BlockDecoder(params, context.key, policy)
    state, limits = _start(decoder, context)
    while not is_done(state):
        state, ids, fell_back = draw_once(params, state, limits, decoder.key[None], policy=policy)
        yield Draw(int(ids[0]), bool(fell_back[0]))


def _blocks(decoder: BlockDecoder, context: Context, first_block: int, block: int) -> Iterator[list[int]]:
    state, limits = _start(decoder, context)
    steps = first_block
    while not is_done(state):
        state, ids = decoder.draw(state, limits, steps)
        yield ids
        steps = block


def _start(decoder: BlockDecoder, context: Context) -> tuple[DecodeState, Limits]:
    """The context run into a cache, and when the row may end."""
    size, new = context.bucket(), context.new_bucket()
    contexts, policy = pad_contexts([context], size, 1), decoder.policy
    state = start(decoder.params, policy.cache(1, size + new), contexts, policy=policy, bucket=new)
    return state, Limits(contexts.min_new, contexts.max_new, jnp.asarray(np.zeros(1, bool)))
