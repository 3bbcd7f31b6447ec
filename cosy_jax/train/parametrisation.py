"""Which numbers of a stage are learnt: all, all but the frozen ones, or low-rank changes of its matrices."""

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax.traverse_util import flatten_dict, unflatten_dict

from cosy_jax.checkpoint.adapter import Adapter
from cosy_jax.errors import CosyError

Tree = Any


class Parametrisation(Protocol):
    """Splits a stage's parameters into what is learnt and what is not, and joins them for the network."""

    def split(self, params: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        """(learnt, frozen)."""

    def join(self, learnt: Tree, frozen: Tree) -> Tree:
        """The parameters that the network takes in training; differentiable in what is learnt."""

    def merge(self, learnt: Tree, frozen: Tree) -> Tree:
        """The same as plain parameters, for a converted folder."""


@dataclass(frozen=True)
class Whole:
    """The weights themselves, but for the paths that match a glob of `freeze`."""

    freeze: Sequence[str] = ()

    def split(self, params: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        flat = flatten_dict(params, sep="/")
        still = {name for name in flat if any(fnmatchcase(name, glob) for glob in self.freeze)}
        for glob in self.freeze:
            if not any(fnmatchcase(name, glob) for name in flat):
                some = ", ".join(sorted({name.split("/")[0] for name in flat}))
                raise CosyError(f"freeze: no parameter is called '{glob}'; they begin with {some}.", "freeze")
        if len(still) == len(flat):
            raise CosyError("freeze: every parameter is frozen, nothing is left to learn.", "freeze")
        learnt = {name: leaf for name, leaf in flat.items() if name not in still}
        return unflatten_dict(learnt, sep="/"), {name: flat[name] for name in still}

    def join(self, learnt: Tree, frozen: Tree) -> Tree:
        return unflatten_dict(flatten_dict(learnt, sep="/") | frozen, sep="/")

    merge = join


@dataclass(frozen=True)
class LowRank:
    """LoRA (https://arxiv.org/abs/2106.09685): y = x Wᵀ + alpha / r (x Aᵀ) Bᵀ for every matrix W (O, I) whose layer has
    one of the names `targets`, A (r, I) small and random, B (O, r) zero."""

    rank: int
    alpha: float
    targets: Sequence[str]

    @property
    def scale(self) -> float:
        return self.alpha / self.rank

    def split(self, params: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        learnt = {}
        for index, (name, kernel) in enumerate(sorted(flatten_dict(params, sep="/").items())):
            layer = name.removesuffix("/kernel")
            if layer != name and kernel.ndim == 2 and layer.rpartition("/")[2] in self.targets:
                learnt[layer] = self._pair(jax.random.fold_in(key, index), *kernel.shape)
        if not learnt:
            raise CosyError(f"lora_targets: no layer is called {' or '.join(self.targets)}.", "lora_targets")
        return learnt, params

    def _pair(self, key: jax.Array, outputs: int, inputs: int) -> dict[str, jax.Array]:
        # As PEFT: He's initialisation for a slope of sqrt(5), which is uniform of variance 1 / (3 inputs).
        first = jax.random.uniform(key, (self.rank, inputs), minval=-(inputs**-0.5), maxval=inputs**-0.5)
        return {"lora_a": first, "lora_b": jnp.zeros((outputs, self.rank))}

    def join(self, learnt: Tree, frozen: Tree) -> Tree:
        flat = flatten_dict(frozen, sep="/")
        for name, pair in learnt.items():
            flat |= {f"{name}/lora_a": pair["lora_a"], f"{name}/lora_b": self.scale * pair["lora_b"]}
        return unflatten_dict(flat, sep="/")

    def adapter(self, stage: str, learnt: Tree) -> Adapter:
        """What was learnt, on the host, as it is stored."""
        pairs = {f"{name}/kernel": (pair["lora_a"], pair["lora_b"]) for name, pair in learnt.items()}
        return Adapter(stage, self.scale, pairs)

    def merge(self, learnt: Tree, frozen: Tree) -> Tree:
        flat = flatten_dict(frozen, sep="/")
        for name, pair in learnt.items():
            kernel = f"{name}/kernel"
            flat[kernel] = flat[kernel] + self.scale * (pair["lora_b"] @ pair["lora_a"])
        return unflatten_dict(flat, sep="/")
