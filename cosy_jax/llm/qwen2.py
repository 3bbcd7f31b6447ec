"""Qwen2 decoder (reference: transformers Qwen2Model), with an explicit key/value cache.

B batch, T new positions, S cache slots, D model, H heads, K key/value heads, G query heads a key/value head, E head
width. A row's slot in the cache is its position, so right-padded rows are overwritten by what they decode.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax

from cosy_jax.config import LLMConfig
from cosy_jax.nn import backend
from cosy_jax.nn.layers import Linear, RMSNorm
from cosy_jax.nn.precision import Precision
from cosy_jax.nn.rotary import rotate_half, rotation


class LayerCache(NamedTuple):
    """Keys and values of one layer, each (B, K, S, E) in the policy's compute type."""

    key: jax.Array
    value: jax.Array


Cache = tuple[LayerCache, ...]


def init_cache(config: LLMConfig, batch: int, slots: int, precision: Precision) -> Cache:
    """An empty cache of `slots` positions for `batch` rows. One array a layer: XLA's CPU backend copies the slice of
    a stacked array in every step."""
    shape = (batch, config.num_kv_heads, slots, config.head_dim)

    def empty() -> jax.Array:
        return jnp.zeros(shape, precision.compute)

    return tuple(LayerCache(empty(), empty()) for _ in range(config.num_layers))


def write_cache(cache: LayerCache, key: jax.Array, value: jax.Array, start: jax.Array, prefill: bool) -> LayerCache:
    """Put key and value (B, K, T, E) at slots start .. start + T - 1; start is int (B,), 0 while prefilling."""
    new = LayerCache(key.astype(cache.key.dtype), value.astype(cache.value.dtype))
    if prefill:
        return jax.tree.map(lambda slots, part: lax.dynamic_update_slice(slots, part, (0, 0, 0, 0)), cache, new)
    if key.shape[2] == 1:
        return _write_position(cache, new, start)
    return _scatter(cache, new, start)


@jax.jit
def _write_position(cache: LayerCache, new: LayerCache, start: jax.Array) -> LayerCache:
    """jit, so that the layers, all alike, are traced once."""
    cpu = _select if cache.key.dtype == jnp.bfloat16 else _scatter
    return backend.by_platform(cache, new, start, cpu=cpu, other=_scatter)


def _scatter(cache: LayerCache, new: LayerCache, start: jax.Array) -> LayerCache:
    write = jax.vmap(lambda row, part, at: lax.dynamic_update_slice(row, part, (0, at, 0)))
    return jax.tree.map(lambda slots, part: write(slots, part, start), cache, new)


def _select(cache: LayerCache, new: LayerCache, start: jax.Array) -> LayerCache:
    """As `_scatter` for one position, which on a CPU takes a bfloat16 cache to float32 and back. Of a float32 cache it
    is the slow way: five times the whole step's time in 16 rows of a small model."""
    here = jnp.arange(cache.key.shape[2]) == start[:, None]
    return jax.tree.map(lambda slots, part: jnp.where(here[:, None, :, None], part, slots), cache, new)


class Attention(nn.Module):
    """Grouped-query attention with rotary positions."""

    config: LLMConfig
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, positions: jax.Array, mask: jax.Array, cache: LayerCache, prefill: bool
    ) -> tuple[jax.Array, LayerCache]:
        """x (B, T, D), positions int (B, T), mask bool (B, T, keys). While prefilling an empty cache the keys are the
        T new positions, afterwards all S slots."""
        c = self.config
        batch, length, _ = x.shape

        def project(name: str, heads: int) -> jax.Array:
            y = Linear(heads * c.head_dim, precision=self.precision, name=name)(x)
            return y.reshape(batch, length, heads, c.head_dim)

        wide = self.precision.accumulate
        cos, sin = rotation(positions, c.head_dim, c.rope_theta, wide, wide)
        query = rotate_half(project("query", c.num_heads), cos, sin)
        key = rotate_half(project("key", c.num_kv_heads), cos, sin).transpose(0, 2, 1, 3)
        value = project("value", c.num_kv_heads).transpose(0, 2, 1, 3)
        cache = write_cache(cache, key, value, positions[:, 0], prefill)
        if not prefill:
            key, value = cache

        # Heads before positions, in and out: XLA's CPU product of bfloat16 refuses other orders of batch dimensions.
        query = query.reshape(batch, length, c.num_kv_heads, -1, c.head_dim).transpose(0, 2, 3, 1, 4)
        scores = self.precision.einsum("bkgte,bkse->bkgts", query, key) * c.head_dim**-0.5
        scores = jnp.where(mask[:, None, None], scores, jnp.finfo(jnp.float32).min)
        out = self.precision.einsum("bkgts,bkse->bkgte", jax.nn.softmax(scores, axis=-1), value)
        out = out.transpose(0, 3, 1, 2, 4).reshape(batch, length, -1)
        return Linear(c.hidden_size, False, self.precision, name="output")(out), cache


class MLP(nn.Module):
    """SwiGLU feed-forward: down(silu(gate(x)) * up(x))."""

    config: LLMConfig
    precision: Precision

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        size = self.config.intermediate_size
        gate = Linear(size, False, self.precision, name="gate")(x)
        up = Linear(size, False, self.precision, name="up")(x)
        return Linear(x.shape[-1], False, self.precision, name="down")(jax.nn.silu(gate) * up)


class Layer(nn.Module):
    """Pre-norm transformer layer."""

    config: LLMConfig
    precision: Precision

    @nn.compact
    def __call__(
        self, x: jax.Array, positions: jax.Array, mask: jax.Array, cache: LayerCache, prefill: bool
    ) -> tuple[jax.Array, LayerCache]:
        eps = self.config.rms_norm_eps
        h = RMSNorm(eps, name="input_norm")(x)
        h, cache = Attention(self.config, self.precision, name="attention")(h, positions, mask, cache, prefill)
        x = x + h
        h = RMSNorm(eps, name="post_attention_norm")(x)
        return x + MLP(self.config, self.precision, name="mlp")(h), cache


class Backbone(nn.Module):
    """All layers and the final norm. With `remat`, gradients compute each layer again instead of keeping what is inside
    it."""

    config: LLMConfig
    precision: Precision
    remat: bool = False

    @nn.compact
    def __call__(self, x: jax.Array, positions: jax.Array, cache: Cache, prefill: bool) -> tuple[jax.Array, Cache]:
        """x (B, T, D), positions int (B, T), contiguous in a row -> hidden float32 (B, T, D) and the new cache."""
        keys = x.shape[1] if prefill else cache[0].key.shape[2]
        # Causal in slots alone: a padded position lies right of every real one, so no real one ever sees it.
        mask = jnp.arange(keys) <= positions[:, :, None]
        layers = []
        layer_type = nn.remat(Layer, static_argnums=(5,)) if self.remat else Layer
        for index, layer_cache in enumerate(cache):
            layer = layer_type(self.config, self.precision, name=f"layers_{index}")
            x, layer_cache = layer(x, positions, mask, layer_cache, prefill)
            layers.append(layer_cache)
        return RMSNorm(self.config.rms_norm_eps, name="norm")(x), tuple(layers)
