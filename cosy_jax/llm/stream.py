"""Speech ids in blocks, while more of them are drawn; or draw by draw, with what the sampler did.

B batch (1 here), N new ids. The ids are those of `generate` for the same key, whatever the block sizes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Request, pad_prompts
from cosy_jax.llm.decode import DecodeState, Limits, RasSampler, Sampler, advance, draw_once, start
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.silence import cap_blocks
from cosy_jax.nn.precision import FLOAT32, Precision


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
        before = int(state.step[0])
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
    request: Request,
    *,
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
    below 1.
    """
    check_block(first_block, block)
    decoder = BlockDecoder(params, request.key, config, RasSampler(sampling), precision, reference_slip)
    return cap_blocks(_blocks(decoder, request, sampling.window, first_block, block))


class Draw(NamedTuple):
    """One id that was drawn, a stop id too, and whether the repetition rule had it drawn again."""

    id: int
    fell_back: bool


def draws(
    params: dict,
    request: Request,
    *,
    config: LLMConfig,
    sampling: SamplingConfig,
    precision: Precision = FLOAT32,
    reference_slip: bool = False,
) -> Iterator[Draw]:
    """Yields every draw of the run, the one that ends it among them, silence not capped. One call of a program a draw:
    for reports, not for speed."""
    decoder = BlockDecoder(params, request.key, config, RasSampler(sampling), precision, reference_slip)
    state, limits = _start(decoder, request, sampling.window)
    while not is_done(state):
        state, ids, fell_back = draw_once(
            params,
            state,
            limits,
            decoder.key[None],
            config=config,
            sampler=decoder.sampler,
            precision=precision,
            reference_slip=reference_slip,
        )
        yield Draw(int(ids[0]), bool(fell_back[0]))


def _blocks(decoder: BlockDecoder, request: Request, window: int, first_block: int, block: int) -> Iterator[list[int]]:
    state, limits = _start(decoder, request, window)
    steps = first_block
    while not is_done(state):
        state, ids = decoder.draw(state, limits, steps)
        yield ids
        steps = block


def _start(decoder: BlockDecoder, request: Request, window: int) -> tuple[DecodeState, Limits]:
    """The prompt run into a cache, and when the row may end."""
    config, precision = decoder.config, decoder.precision
    size, new = request.prompt_bucket(), request.new_bucket()
    prompts = pad_prompts([request], size, 1)
    cache = init_cache(config, 1, size + new, precision)
    state = start(decoder.params, cache, prompts, config=config, window=window, bucket=new, precision=precision)
    return state, Limits(prompts.min_new, prompts.max_new, jnp.asarray(np.zeros(1, bool)))
