"""The decode loop, whole or in blocks: prefill and `lax.while_loop`, compiled once a bucket.

B batch, T prompt or appended positions, N new ids, V speech vocabulary, W sampling window. `generate` is one program;
`start` and `advance` are its two halves, for callers that want ids while more are drawn; `insert` puts started rows
in the place of finished ones (continuous batching); `empty` and `append` build a row piece by piece, for text that
arrives while it is spoken.
"""

import dataclasses
import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.llm.qwen2 import Cache
from cosy_jax.llm.sampling import draw_noise, mask_stop_ids, ras_sample
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.nn.precision import FLOAT32, Precision

# A CPU prefills so many rows at once: the activations of 32 do not fit its caches, and take up to 1.3 times as
# long.
_CPU_GROUP = 8


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


class Sampler(Protocol):
    """Draws one id a row; frozen and hashable, since it is a static argument of the compiled loop."""

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Masked logits (B, V), recent ids (B, W), one key a row (B,), draws so far (B,) -> ids int32 (B,) and whether
        the row was drawn twice (B,)."""


@dataclass(frozen=True)
class RasSampler:
    """Repetition-aware sampling with the noise of each row's key."""

    config: SamplingConfig

    def __call__(
        self, logits: jax.Array, recent: jax.Array, keys: jax.Array, step: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        noise = draw_noise(keys, step, self.config.top_k, logits.shape[-1])
        return ras_sample(logits, recent, noise, self.config)


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
    state = _prefill(model, params, cache, prompts, sampling.window, bucket)
    limits = Limits(prompts.min_new, prompts.max_new, jnp.zeros_like(state.done))
    batch = len(prompts.lengths)
    return _loop(model, params, state, limits, keys, bucket, batch, RasSampler(sampling), reference_slip)


@functools.partial(jax.jit, static_argnames=("config", "window", "precision", "bucket"), donate_argnames=("cache",))
def start(
    params: dict,
    cache: Cache,
    prompts: Prompts,
    *,
    config: LLMConfig,
    window: int,
    bucket: int,
    precision: Precision = FLOAT32,
) -> DecodeState:
    """The prompts run into the cache and nothing drawn yet: the first half of `generate`, with the same arguments
    (`window` is that of the sampling)."""
    return _prefill(SpeechLM(config, precision), params, cache, prompts, window, bucket)


@functools.partial(
    jax.jit,
    static_argnames=("config", "sampler", "precision", "reference_slip"),
    donate_argnames=("state",),
)
def advance(
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    *,
    steps: int | jax.Array,
    config: LLMConfig,
    sampler: Sampler,
    precision: Precision = FLOAT32,
    reference_slip: bool = False,
    until_done: int | jax.Array | None = None,
) -> DecodeState:
    """At most `steps` more draws a row, fewer where `until_done` rows are done (None: all of them).

    `state` is donated; `steps` and `until_done` are no part of the compiled program. The ids do not depend on how a
    run is cut into blocks. The caller sees to it that the cache holds position + steps + 1 slots and `tokens` step +
    steps columns.
    """
    enough = len(state.done) if until_done is None else until_done
    return _loop(SpeechLM(config, precision), params, state, limits, keys, steps, enough, sampler, reference_slip)


@functools.partial(
    jax.jit,
    static_argnames=("config", "sampler", "precision", "reference_slip"),
    donate_argnames=("state",),
)
def draw_once(
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    *,
    config: LLMConfig,
    sampler: Sampler,
    precision: Precision = FLOAT32,
    reference_slip: bool = False,
) -> tuple[DecodeState, jax.Array, jax.Array]:
    """One step of `advance` that tells what it drew: the state, ids int32 (B,), a stop id too, and whether the row was
    drawn twice (B,). Slower than the loop, for reports; `state` is donated."""
    return _draw(SpeechLM(config, precision), params, state, limits, keys, sampler, reference_slip)


@functools.partial(jax.jit, donate_argnames=("state",))
def insert(state: DecodeState, started: DecodeState, rows: jax.Array) -> DecodeState:
    """`state` (B rows) with the rows of `started` (R) in the places `rows` int (R,); a place of B or more drops its
    row. The cache of `started` may hold fewer slots and its `tokens` fewer columns; `state` is donated."""

    def put(old: jax.Array, new: jax.Array) -> jax.Array:
        rest = tuple(slice(size) for size in new.shape[1:])
        return old.at[(rows, *rest)].set(new, mode="drop")

    cleared = dataclasses.replace(state, tokens=state.tokens.at[rows].set(-1, mode="drop"))
    return jax.tree.map(put, cleared, started)


@functools.partial(jax.jit, static_argnames=("config", "precision"), donate_argnames=("state",))
def append(
    params: dict,
    state: DecodeState,
    ids: jax.Array,
    is_text: jax.Array,
    lengths: jax.Array,
    after_fill: jax.Array,
    *,
    config: LLMConfig,
    precision: Precision = FLOAT32,
) -> DecodeState:
    """Given ids behind what each row holds, after which it goes on drawing.

    Ids int and is_text bool are (B, T), right-padded to lengths int (B,); `state` is donated and its cache has T free
    slots, of which the padded ones are overwritten by what comes next. Where after_fill (B,), the fill id counts as
    the last one drawn, though the row itself does not hold it.
    """
    model = SpeechLM(config, precision)
    logits, cache = model.apply(
        {"params": params}, ids, is_text, lengths, state.position, state.cache, method=_append_positions
    )
    filled = _shift(state.recent, jnp.full_like(state.lengths, config.fill_id))
    return dataclasses.replace(
        state,
        cache=cache,
        logits=logits,
        recent=jnp.where(after_fill[:, None], filled, state.recent),
        position=state.position + lengths,
        done=jnp.zeros_like(state.done),
    )


def empty(cache: Cache, vocab: int, window: int, bucket: int) -> DecodeState:
    """A state that holds no position yet, of the batch of its empty cache and with room for `bucket` (N) ids."""
    batch = cache[0].key.shape[0]
    return DecodeState(
        cache=cache,
        logits=jnp.zeros((batch, vocab), jnp.float32),
        tokens=jnp.full((batch, bucket), -1, jnp.int32),
        recent=jnp.full((batch, window), -1, jnp.int32),
        position=jnp.zeros(batch, jnp.int32),
        lengths=jnp.zeros(batch, jnp.int32),
        fallbacks=jnp.zeros(batch, jnp.int32),
        done=jnp.zeros(batch, bool),
        step=jnp.zeros(batch, jnp.int32),
    )


@functools.partial(jax.jit, static_argnames=("slots", "bucket"))
def resize(state: DecodeState, *, slots: int, bucket: int) -> DecodeState:
    """The same state with a cache of `slots` positions and room for `bucket` ids; where they are fewer than before,
    the caller knows that no row needs the others."""

    def fit(x: jax.Array, axis: int, size: int, filler: int) -> jax.Array:
        room = [(0, max(0, size - have) if i == axis else 0) for i, have in enumerate(x.shape)]
        return lax.slice_in_dim(jnp.pad(x, room, constant_values=filler), 0, size, axis=axis)

    cache = jax.tree.map(lambda x: fit(x, 2, slots, 0), state.cache)
    return dataclasses.replace(state, cache=cache, tokens=fit(state.tokens, 1, bucket, -1))


def _prefill(model: SpeechLM, params: dict, cache: Cache, prompts: Prompts, window: int, bucket: int) -> DecodeState:
    logits, cache = _in_groups(
        lambda *rows: model.apply({"params": params}, *rows, method="prefill"),
        (prompts.ids, prompts.is_text, prompts.lengths, cache),
        len(prompts.lengths),
    )
    return dataclasses.replace(
        empty(cache, logits.shape[-1], window, bucket),
        logits=logits,
        position=prompts.lengths.astype(jnp.int32),
        done=prompts.max_new <= 0,
    )


def _in_groups(function: Callable[..., Any], arguments: Any, batch: int) -> Any:
    """`function` of arrays whose first axis is the batch; on the CPU, of a few rows after the other."""
    size = max(n for n in range(1, _CPU_GROUP + 1) if batch % n == 0)
    if jax.default_backend() != "cpu" or size in (1, batch):
        return function(*arguments)
    groups = jax.tree.map(lambda x: x.reshape(-1, size, *x.shape[1:]), arguments)
    out = lax.map(lambda group: function(*group), groups)
    return jax.tree.map(lambda x: x.reshape(batch, *x.shape[2:]), out)


def _append_positions(
    model: SpeechLM, ids: jax.Array, is_text: jax.Array, lengths: jax.Array, start: jax.Array, cache: Cache
) -> tuple[jax.Array, Cache]:
    """Run ids (B, T) at positions start (B,) and on -> logits float32 (B, V) after each row's last id."""
    positions = start[:, None] + jnp.arange(ids.shape[1])
    hidden, cache = model.backbone(model.embed(ids, is_text), positions, cache, prefill=False)
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
    return model.speech_head(last)[:, 0], cache


def _loop(
    model: SpeechLM,
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    steps: int | jax.Array,
    until_done: int | jax.Array,
    sampler: Sampler,
    reference_slip: bool,
) -> DecodeState:
    def step(carry: tuple[jax.Array, DecodeState]) -> tuple[jax.Array, DecodeState]:
        drawn, state = carry
        return drawn + 1, _draw(model, params, state, limits, keys, sampler, reference_slip)[0]

    def go_on(carry: tuple[jax.Array, DecodeState]) -> jax.Array:
        drawn, state = carry
        return (drawn < steps) & (jnp.sum(state.done) < until_done)

    return lax.while_loop(go_on, step, (jnp.zeros((), jnp.int32), state))[1]


def _draw(
    model: SpeechLM,
    params: dict,
    state: DecodeState,
    limits: Limits,
    keys: jax.Array,
    sampler: Sampler,
    reference_slip: bool,
) -> tuple[DecodeState, jax.Array, jax.Array]:
    too_short = state.step < limits.min_new
    masked = mask_stop_ids(state.logits, too_short, model.config, reference_slip)
    fill = limits.may_fill[:, None] & (jnp.arange(masked.shape[-1]) == model.config.fill_id)
    logits = jnp.where(fill, state.logits, masked)
    ids, drawn_twice = sampler(logits, state.recent, keys, state.step)
    position = state.position
    state = record(state, ids, drawn_twice, limits.max_new, model.config)
    logits, cache = model.apply({"params": params}, ids, position, state.cache, method="step")
    return dataclasses.replace(state, logits=logits, cache=cache), ids, drawn_twice


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
        recent=jnp.where(keep[:, None], _shift(state.recent, ids), state.recent),
        position=state.position + keep,
        lengths=lengths,
        fallbacks=state.fallbacks + (fell_back & ~state.done),
        done=~keep | (lengths >= max_new),
        step=state.step + ~state.done,
    )


def _shift(recent: jax.Array, ids: jax.Array) -> jax.Array:
    """Recent ids (B, W) with ids (B,) as the newest."""
    return jnp.concatenate([recent[:, 1:], ids[:, None]], axis=1)
