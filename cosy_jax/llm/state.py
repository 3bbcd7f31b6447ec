"""What one decode step hands to the next, and how rows enter, leave and find room in it.

B batch, R rows that are put in, N new ids, V speech vocabulary, W sampling window, S cache slots.
"""

import dataclasses
import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import LLMConfig
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.qwen2 import Cache


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Limits:
    """When a row may end, each (B,): stop ids are masked in its first min_new draws (int), the fill id among them
    unless may_fill (bool); max_new (int) speech ids are the most."""

    min_new: jax.Array
    max_new: jax.Array
    may_fill: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class DecodeState:
    """What one decode step hands to the next."""

    cache: Cache
    logits: jax.Array  # float32 (B, V), of the id to be drawn next
    tokens: jax.Array  # int32 (B, N), -1 where nothing was drawn
    recent: jax.Array  # int32 (B, W), the last ids, -1 where there is none
    position: jax.Array  # int32 (B,), the cache slot of the next id
    lengths: jax.Array  # int32 (B,), speech ids so far
    fallbacks: jax.Array  # int32 (B,), draws repeated by the repetition rule
    done: jax.Array  # bool (B,)
    step: jax.Array  # int32 (B,), draws so far


def empty(policy: DecodePolicy, cache: Cache, bucket: int) -> DecodeState:
    """A state that holds no position yet, of the batch of its empty cache and with room for `bucket` (N) ids."""
    batch = cache[0].key.shape[0]
    return DecodeState(
        cache=cache,
        logits=jnp.zeros((batch, policy.config.speech_vocab_size), jnp.float32),
        tokens=jnp.full((batch, bucket), -1, jnp.int32),
        recent=jnp.full((batch, policy.sampling.window), -1, jnp.int32),
        position=jnp.zeros(batch, jnp.int32),
        lengths=jnp.zeros(batch, jnp.int32),
        fallbacks=jnp.zeros(batch, jnp.int32),
        done=jnp.zeros(batch, bool),
        step=jnp.zeros(batch, jnp.int32),
    )


@functools.partial(jax.jit, donate_argnames=("state",))
def insert(state: DecodeState, started: DecodeState, rows: jax.Array) -> DecodeState:
    """`state` (B rows) with the rows of `started` (R) in the places `rows` int (R,); a place of B or more drops its
    row. The cache of `started` may hold fewer slots and its `tokens` fewer columns; `state` is donated."""

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        rest = tuple(slice(size) for size in new.shape[1:])
        return old.at[(rows, *rest)].set(new, mode="drop")

    cleared = dataclasses.replace(state, tokens=state.tokens.at[rows].set(-1, mode="drop"))
    return jax.tree.map(put, cleared, started)


@jax.jit
def gather(state: DecodeState, rows: jax.Array) -> DecodeState:
    """The rows in the places `rows` int (R,) of `state` (B rows), as a state of R rows; a place of B or more gives an
    empty row, which is done."""
    picked = jax.tree.map(lambda x: x.at[rows].get(mode="fill", fill_value=0), state)
    return dataclasses.replace(picked, done=picked.done | (rows >= len(state.done)))


@functools.partial(jax.jit, static_argnames=("slots", "bucket"))
def resize(state: DecodeState, *, slots: int, bucket: int) -> DecodeState:
    """The same state with a cache of `slots` positions and room for `bucket` ids; where they are fewer than before,
    the caller knows that no row needs the others."""

    def fit(x: jax.Array, axis: int, size: int, filler: int) -> jax.Array:
        room = [(0, max(0, size - have) if i == axis else 0) for i, have in enumerate(x.shape)]
        return lax.slice_in_dim(jnp.pad(x, room, constant_values=filler), 0, size, axis=axis)

    cache = jax.tree.map(lambda x: fit(x, 2, slots, 0), state.cache)
    return dataclasses.replace(state, cache=cache, tokens=fit(state.tokens, 1, bucket, -1))


def record(
    state: DecodeState, ids: jax.Array, fell_back: jax.Array, max_new: jax.Array, config: LLMConfig
) -> DecodeState:
    """Take the ids (B,) drawn in this step into the state; a stop id is not kept, and its slot is used again."""
    keep = ~state.done & (ids < config.speech_token_size)
    lengths = state.lengths + keep
    # "drop": a row that is done stands at a column of its own, which may be one beyond the last.
    tokens = state.tokens.at[jnp.arange(len(ids)), state.step].set(jnp.where(keep, ids, -1), mode="drop")
    return dataclasses.replace(
        state,
        tokens=tokens,
        recent=jnp.where(keep[:, None], shift(state.recent, ids), state.recent),
        position=state.position + keep,
        lengths=lengths,
        fallbacks=state.fallbacks + (fell_back & ~state.done),
        done=~keep | (lengths >= max_new),
        step=state.step + ~state.done,
    )


def shift(recent: jax.Array, ids: jax.Array) -> jax.Array:
    """Recent ids (B, W) with ids (B,) as the newest."""
    return jnp.concatenate([recent[:, 1:], ids[:, None]], axis=1)
