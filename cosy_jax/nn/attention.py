"""Multi-head attention in the way that suits the platform; all ways compute the same.

B batch, T query positions, S key positions, H heads, E head width.
"""

import functools
import logging
import math

import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.nn import backend
from cosy_jax.nn.precision import BFLOAT16, Precision

# Scores of this many bytes stay in a CPU's caches between their two products and the softmax (benchmarks/RESULTS.md):
# twice as many for 1000 frames take 1.2 to 1.4 times as long, half as many for 500 frames 1.03 to 1.1 times.
_BLOCK_BYTES = 6_000_000
# On a TPU of 16 GiB, 16 utterances of a minute would have scores of 300 GiB in one layer of the flow.
_TPU_BYTES = 2**29


def attend(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, precision: Precision) -> jax.Array:
    """Query (B, T, H, E), key and value (B, S, H, E), mask bool (B, T or 1, S), True where a key is seen -> values
    (B, T, H, E) in the accumulation type. Every query sees a key."""
    batch, length, heads, _ = query.shape
    fitting = _BLOCK_BYTES // (4 * length * key.shape[1])
    block = _divisor(heads, fitting), _divisor(batch, fitting // heads)
    # cuDNN can only be asked where there is a GPU: a program lowered for one on another machine does without.
    asked = precision.compute == jnp.bfloat16 and backend.host_platform() == "gpu"
    flash = asked and _cudnn_takes(query.shape, key.shape, mask.shape)
    allowed = _TPU_BYTES // (4 * batch * heads * key.shape[1])
    queries = _divisor(length, allowed)
    return _attend(query, key, value, mask, block=block, queries=queries, flash=flash, precision=precision)


def _divisor(count: int, most: int) -> int:
    """The largest divisor that is at most `most`, or 1."""
    return max(size for size in range(1, count + 1) if count % size == 0 and size <= max(1, most))


@functools.partial(jax.jit, static_argnames=("block", "queries", "flash", "precision"))
def _attend(
    query: jax.Array,
    key: jax.Array,
    value: jax.Array,
    mask: jax.Array,
    *,
    block: tuple[int, int],
    queries: int,
    flash: bool,
    precision: Precision,
) -> jax.Array:
    """jit, so that the blocks of a transformer, all alike, are traced once."""
    return backend.by_platform(
        query,
        key,
        value,
        mask,
        cpu=functools.partial(_in_blocks, block=block, precision=precision),
        cuda=functools.partial(_flash, precision=precision) if flash else None,
        tpu=functools.partial(_by_queries, size=queries, precision=precision) if queries < query.shape[1] else None,
        other=functools.partial(_plain, precision=precision),
    )


def _plain(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, precision: Precision) -> jax.Array:
    query, key, value = (x.transpose(2, 0, 1, 3) for x in (query, key, value))
    return _heads(query, key, value, mask, precision).transpose(1, 2, 0, 3)


def _heads(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, precision: Precision) -> jax.Array:
    """Heads first: query (H, B, T, E), key and value (H, B, S, E) -> (H, B, T, E)."""
    scores = precision.einsum("hbte,hbse->hbts", query, key) * query.shape[-1] ** -0.5
    scores = jnp.where(mask, scores, jnp.finfo(jnp.float32).min)
    return precision.einsum("hbts,hbse->hbte", jax.nn.softmax(scores, axis=-1), value)


def _in_blocks(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, block: tuple[int, int], precision: Precision
) -> jax.Array:
    """A few heads, where all of them fit of a few rows, after the other: on a CPU, memory is what attention waits for,
    not the products. Gradients compute each block's scores again, which takes half the time of keeping them."""
    batch, length, heads, width = query.shape
    some, rows = block
    groups = heads // some

    def split(x: jax.Array) -> jax.Array:
        x = x.astype(precision.compute).reshape(batch // rows, rows, -1, groups, some, width)
        return x.transpose(0, 3, 4, 1, 2, 5).reshape(-1, some, rows, x.shape[2], width)

    masks = jnp.broadcast_to(mask, (batch, *mask.shape[1:])).reshape(-1, rows, *mask.shape[1:])

    @jax.checkpoint
    def attend_block(part: tuple[jax.Array, jax.Array, jax.Array, jax.Array]) -> jax.Array:
        index, query, key, value = part
        return _heads(query, key, value, masks[index // groups], precision)

    out = lax.map(attend_block, (jnp.arange(batch // rows * groups), split(query), split(key), split(value)))
    out = out.reshape(batch // rows, groups, some, rows, length, width)
    return out.transpose(0, 3, 4, 1, 2, 5).reshape(batch, length, heads, width)


def _by_queries(
    query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, size: int, precision: Precision
) -> jax.Array:
    """`size` query positions of all rows after the other, so that rows may lie on several devices."""

    def parts(x: jax.Array) -> jax.Array:
        return jnp.moveaxis(x.reshape(len(x), -1, size, *x.shape[2:]), 1, 0)

    if mask.shape[1] == 1:
        out = lax.map(lambda part: _plain(part, key, value, mask, precision), parts(query))
    else:
        out = lax.map(lambda part: _plain(part[0], key, value, part[1], precision), (parts(query), parts(mask)))
    return jnp.moveaxis(out, 0, 1).reshape(query.shape)


def _flash(query: jax.Array, key: jax.Array, value: jax.Array, mask: jax.Array, precision: Precision) -> jax.Array:
    query, key, value = (x.astype(precision.compute) for x in (query, key, value))
    out = jax.nn.dot_product_attention(query, key, value, mask=mask[:, None], implementation="cudnn")
    return out.astype(precision.accumulate)


@functools.cache
def _cudnn_takes(query: tuple[int, ...], key: tuple[int, ...], mask: tuple[int, ...]) -> bool:
    """Whether cuDNN's flash attention runs for these shapes, and right: which ones it takes depends on GPU and
    version, and a refusal inside a compiled program could not be answered any more."""

    def random(seed: int, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(jax.random.key(seed), shape, jnp.bfloat16)

    with jax.ensure_compile_time_eval():
        seen = jnp.arange(math.prod(mask)).reshape(mask) % 7 != 3
        inputs = random(0, query), random(1, key), random(2, key), seen
        exact = _plain(*inputs, precision=BFLOAT16)
        try:
            ours = jax.jit(functools.partial(_flash, precision=BFLOAT16))(*inputs)
            return bool(jnp.all(jnp.abs(ours - exact) < 0.05))
        except Exception as error:  # of any kind: it is one of several ways
            logging.getLogger(__name__).info("no flash attention: %s", error)
            return False
