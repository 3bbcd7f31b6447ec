"""What stands on a prompt encoder in training alone, and is left behind when it is exported.

B rows, L tokens, N digits of a code, E embedding, C classes.
"""

from dataclasses import dataclass
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from cosy_jax.nn.layers import Linear
from cosy_jax.train.parametrisation import Tree

_HIDDEN = 512


class LabelHead(nn.Module):
    """Codes (B, L, N) to logits of labels (B, L, C), each token for itself, so that it has to say all that its label
    asks for."""

    classes: int

    @nn.compact
    def __call__(self, codes: jax.Array) -> jax.Array:
        hidden = jax.nn.gelu(Linear(_HIDDEN, name="up")(codes))
        return Linear(self.classes, name="out")(hidden)


class Directions(nn.Module):
    """A direction for each speaker: embeddings (B, E) to cosines (B, C)."""

    classes: int

    @nn.compact
    def __call__(self, embeddings: jax.Array) -> jax.Array:
        kernel = self.param("kernel", nn.initializers.normal(0.02), (self.classes, embeddings.shape[-1]))
        return unit(embeddings) @ unit(kernel).T


def unit(x: jax.Array) -> jax.Array:
    """Vectors of length 1 over the last axis."""
    return x / jnp.maximum(jnp.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


@dataclass(frozen=True)
class WithHead:
    """All of an encoder, and a head of `classes` that is random at first."""

    head: nn.Module
    inputs: int  # the last axis of what the head takes

    def split(self, params: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        head = self.head.init(key, jnp.zeros((1, 1, self.inputs))[0])["params"]
        return {"encoder": params, "head": head}, {}

    def join(self, learnt: Tree, frozen: Tree) -> Tree:
        return learnt

    def merge(self, learnt: Tree, frozen: Tree) -> Any:
        return learnt["encoder"]
