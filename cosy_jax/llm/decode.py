"""The decode loop: prefill and `lax.while_loop` as one compiled program a bucket.

B batch, T prompt positions, N new ids, V speech vocabulary, W sampling window.
"""

import dataclasses
import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.llm.qwen2 import Cache
from cosy_jax.llm.sampling import draw_noise, mask_stop_ids, ras_sample
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.precision import FLOAT32, Precision


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Prompts:
    """Right-padded prompts: ids int (B, T), is_text bool (B, T), lengths int (B,); min_new and max_new int (B,) bound
    the number of speech ids of each row."""

    ids: jax.Array
    is_text: jax.Array
    lengths: jax.Array
    min_new: jax.Array
    max_new: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecodeState:
    """What one decode step hands to the next."""

    cache: Cache
    logits: jax.Array  # float32 (B, V), of the id to be drawn next
    tokens: jax.Array  # int32 (B, N), -1 where nothing was drawn
    recent: jax.Array  # int32 (B, W), the last ids, -1 where there is none
    lengths: jax.Array  # int32 (B,), speech ids so far
    fallbacks: jax.Array  # int32 (B,), draws repeated by the repetition rule
    done: jax.Array  # bool (B,)
    step: jax.Array  # int32 ()


@functools.partial(
    jax.jit,
    static_argnames=("config", "sampling", "precision", "bucket", "reference_slip"),
    donate_argnames=("cache",),
)
def generate(
    params: dict,
    cache: Cache,
    prompts: Prompts,
    keys: jax.Array,
    *,
    config: LLMConfig,
    sampling: SamplingConfig,
    bucket: int,
    precision: Precision = FLOAT32,
    reference_slip: bool = False,
) -> DecodeState:
    """Speech ids after each prompt, until a stop id or the row's max_new.

    `cache` is empty, of at least T + bucket slots, and donated; `keys` is one PRNG key a row (B,); `bucket` (N) is
    at least every max_new. Returns the last state: tokens (B, N) without stop ids, lengths (B,).
    """
    model = SpeechLM(config, precision)
    logits, cache = model.apply(
        {"params": params}, prompts.ids, prompts.is_text, prompts.lengths, cache, method="prefill"
    )
    batch = logits.shape[0]
    state = DecodeState(
        cache=cache,
        logits=logits,
        tokens=jnp.full((batch, bucket), -1, jnp.int32),
        recent=jnp.full((batch, sampling.window), -1, jnp.int32),
        lengths=jnp.zeros(batch, jnp.int32),
        fallbacks=jnp.zeros(batch, jnp.int32),
        done=prompts.max_new <= 0,
        step=jnp.zeros((), jnp.int32),
    )

    def body(state: DecodeState) -> DecodeState:
        logits = mask_stop_ids(state.logits, state.step < prompts.min_new, config, reference_slip)
        noise = draw_noise(keys, state.step, sampling.top_k, config.speech_vocab_size)
        ids, fell_back = ras_sample(logits, state.recent, noise, sampling)
        state = record(state, ids, fell_back, prompts.max_new, config)
        logits, cache = model.apply(
            {"params": params}, ids, prompts.lengths + state.step - 1, state.cache, method="step"
        )
        return dataclasses.replace(state, logits=logits, cache=cache)

    return lax.while_loop(lambda state: ~jnp.all(state.done), body, state)


def record(
    state: DecodeState, ids: jax.Array, fell_back: jax.Array, max_new: jax.Array, config: LLMConfig
) -> DecodeState:
    """Take the ids (B,) drawn in this step into the state; a stop id is not kept."""
    keep = ~state.done & (ids < config.speech_token_size)
    lengths = state.lengths + keep
    column = jnp.where(keep, ids, -1)[:, None]
    return dataclasses.replace(
        state,
        tokens=lax.dynamic_update_slice(state.tokens, column, (0, state.step)),
        recent=jnp.concatenate([state.recent[:, 1:], column], axis=1),
        lengths=lengths,
        fallbacks=state.fallbacks + (fell_back & ~state.done),
        done=~keep | (lengths >= max_new),
        step=state.step + 1,
    )
