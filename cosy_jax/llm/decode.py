"""The decode loop, whole or in blocks: prefill and `lax.while_loop`, compiled once a bucket.

B batch, T context or appended positions, N new ids, V speech vocabulary. `generate` is one program; `start` and
`advance` are its two halves, for callers that want ids while more are drawn; `append` builds a row piece by piece, for
text that arrives while it is spoken.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.qwen2 import Cache
from cosy_jax.llm.sampling import mask_stop_ids
from cosy_jax.llm.state import DecodeState, Limits, empty, record, shift
from cosy_jax.nn import backend
from cosy_jax.nn.programs import program

# A CPU prefills so many rows at once: the activations of 32 do not fit its caches, and take up to 1.3 times as
# long.
_CPU_GROUP = 8


@program(static_argnames=("policy", "bucket"), donate_argnames=("cache",))
def generate(
    params: dict, cache: Cache, contexts: ContextBatch, keys: jax.Array, *, policy: DecodePolicy, bucket: int
) -> DecodeState:
    """Speech ids after each context, until a stop id or the row's max_new.

    `cache` is empty, of at least T + bucket slots, and donated; `keys` is one PRNG key a row (B,); `bucket` (N) is
    at least every max_new. Returns the last state: tokens (B, N) without stop ids, lengths (B,).
    """
    state = _prefill(params, cache, contexts, policy, bucket)
    limits = Limits(contexts.min_new, contexts.max_new, jnp.zeros_like(state.done))
    return _loop(params, state, limits, keys, bucket, len(contexts.lengths), policy)


@functools.partial(jax.jit, static_argnames=("policy", "bucket"), donate_argnames=("cache",))
def start(params: dict, cache: Cache, contexts: ContextBatch, *, policy: DecodePolicy, bucket: int) -> DecodeState:
    """The contexts run into the cache and nothing drawn yet: the first half of `generate`, with the same arguments."""
    return _prefill(params, cache, contexts, policy, bucket)


@functools.partial(jax.jit, static_argnames=("policy",), donate_argnames=("state",))
def advance(
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    *,
    policy: DecodePolicy,
    steps: int | jax.Array,
    until_done: int | jax.Array | None = None,
) -> DecodeState:
    """At most `steps` more draws a row, fewer where `until_done` rows are done (None: all of them).

    `state` is donated; `steps` and `until_done` are no part of the compiled program. The ids do not depend on how a
    run is cut into blocks. The caller sees to it that the cache holds position + steps + 1 slots and `tokens` step +
    steps columns.
    """
    enough = len(state.done) if until_done is None else until_done
    return _loop(params, state, limits, keys, steps, enough, policy)


@functools.partial(jax.jit, static_argnames=("policy",), donate_argnames=("state",))
def draw_once(
    params: dict, state: DecodeState, limits: Limits, keys: jax.Array, *, policy: DecodePolicy
) -> tuple[DecodeState, jax.Array, jax.Array]:
    """One step of `advance` that tells what it drew: the state, ids int32 (B,), a stop id too, and whether the row was
    drawn twice (B,). Slower than the loop, for reports; `state` is donated."""
    return _draw(params, state, limits, keys, policy)


@functools.partial(jax.jit, static_argnames=("policy",), donate_argnames=("state",))
def append(
    params: dict,
    state: DecodeState,
    ids: jax.Array,
    is_text: jax.Array,
    lengths: jax.Array,
    after_fill: jax.Array,
    *,
    policy: DecodePolicy,
) -> DecodeState:
    """Given ids behind what each row holds, after which it goes on drawing.

    Ids int and is_text bool are (B, T), right-padded to lengths int (B,); `state` is donated and its cache has T free
    slots, of which the padded ones are overwritten by what comes next. Where after_fill (B,), the fill id counts as
    the last one drawn, though the row itself does not hold it.
    """
    logits, cache = policy.model.apply(
        {"params": params}, ids, is_text, lengths, state.position, state.cache, method="append"
    )
    filled = shift(state.recent, jnp.full_like(state.lengths, policy.config.fill_id))
    return dataclasses.replace(
        state,
        cache=cache,
        logits=logits,
        recent=jnp.where(after_fill[:, None], filled, state.recent),
        position=state.position + lengths,
        done=jnp.zeros_like(state.done),
    )


def _prefill(params: dict, cache: Cache, contexts: ContextBatch, policy: DecodePolicy, bucket: int) -> DecodeState:
    logits, cache = _in_groups(
        lambda *rows: policy.model.apply({"params": params}, *rows, method="prefill"),
        (contexts.ids, contexts.is_text, contexts.lengths, cache),
        len(contexts.lengths),
    )
    return dataclasses.replace(
        empty(policy, cache, bucket),
        logits=logits,
        position=contexts.lengths.astype(jnp.int32),
        done=contexts.max_new <= 0,
    )


def _in_groups(function: Callable[..., Any], arguments: Any, batch: int) -> Any:
    """`function` of arrays whose first axis is the batch; on the CPU, of a few rows after the other. It is traced twice
    where the two differ."""
    size = max(n for n in range(1, _CPU_GROUP + 1) if batch % n == 0)
    if size in (1, batch):
        return function(*arguments)

    def by_group(*arguments: Any) -> Any:
        groups = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), arguments)
        out = lax.map(lambda group: function(*group), groups)
        return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), out)

    return backend.by_platform(*arguments, cpu=by_group, other=function)


def _loop(
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    steps: int | jax.Array,
    until_done: int | jax.Array,
    policy: DecodePolicy,
) -> DecodeState:
    def step(carry: tuple[jax.Array, DecodeState]) -> tuple[jax.Array, DecodeState]:
        drawn, state = carry
        return drawn + 1, _draw(params, state, limits, keys, policy)[0]

    def go_on(carry: tuple[jax.Array, DecodeState]) -> jax.Array:
        drawn, state = carry
        return (drawn < steps) & (jnp.sum(state.done) < until_done)

    return lax.while_loop(go_on, step, (jnp.zeros((), jnp.int32), state))[1]


def _draw(
    params: dict, state: DecodeState, limits: Limits, keys: jax.Array, policy: DecodePolicy
) -> tuple[DecodeState, jax.Array, jax.Array]:
    config, too_short = policy.config, state.step < limits.min_new
    masked = mask_stop_ids(state.logits, too_short, config, policy.reference_slips)
    fill = limits.may_fill[:, None] & (jnp.arange(masked.shape[-1]) == config.fill_id)
    logits = jnp.where(fill, state.logits, masked)
    ids, drawn_twice = policy.sampler(logits, state.recent, keys, state.step)
    position = state.position
    state = record(state, ids, drawn_twice, limits.max_new, config)
    logits, cache = policy.model.apply({"params": params}, ids, position, state.cache, method="step")
    return dataclasses.replace(state, logits=logits, cache=cache), ids, drawn_twice
