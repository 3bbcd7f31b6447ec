"""Several devices as one: rows are split over the mesh axis `data`, weights copied to each of its places or split over
the axis `model` (tensor parallelism as in Megatron-LM, https://arxiv.org/abs/1909.08053).

Nothing else in the package knows of devices: XLA partitions the same programs by where their arguments lie.
"""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from cosy_jax.errors import CosyError

# Linear kernels are (out, in). The first of a pair is split by its outputs, the second by its inputs, so that one sum
# over the devices closes the pair.
_BY_OUTPUT = frozenset({"gate", "up", "linear1", "query", "key", "value"})
_BY_INPUT = frozenset({"down", "linear2", "output"})


@dataclass(frozen=True)
class Devices:
    """Where arrays are put; without a mesh, on the default device."""

    mesh: Mesh | None = None

    @property
    def data(self) -> int:
        """Into how many parts rows are split."""
        return 1 if self.mesh is None else self.mesh.shape["data"]

    @property
    def count(self) -> int:
        """How many devices there are."""
        return 1 if self.mesh is None else self.mesh.size

    def padded(self, rows: int) -> int:
        """The next multiple of `data`: every device computes the same number of rows."""
        return -(-rows // self.data) * self.data

    @property
    def local_data(self) -> int:
        """Into how many of these parts the rows of this process are split."""
        return max(1, self.data // jax.process_count())

    def rows(self, tree: Any) -> Any:
        """A pytree of arrays with the same first axis, a multiple of `local_data`, split along it; with several
        processes each gives its own rows."""
        if self.mesh is None:
            return tree
        place = self.rows_place
        if jax.process_count() > 1:
            return jax.tree.map(lambda leaf: jax.make_array_from_process_local_data(place, np.asarray(leaf)), tree)
        return jax.device_put(tree, place)

    def heads(self, tree: Any) -> Any:
        """A pytree of arrays (..., H, E), split by heads over `model`, as keys and values are where weights are."""
        if self.mesh is None:
            return tree
        return jax.tree.map(lambda leaf: jax.device_put(leaf, self.heads_place(leaf)), tree)

    def params(self, tree: Any) -> Any:
        """A stage's parameters, nested dicts of arrays, copied or split over `model`."""
        if self.mesh is None:
            return tree
        return jax.tree.map_with_path(lambda path, leaf: jax.device_put(leaf, self.weight_place(path, leaf)), tree)

    @property
    def rows_place(self) -> NamedSharding:
        """Where `rows` puts an array, on the mesh that there is."""
        assert self.mesh is not None
        return NamedSharding(self.mesh, PartitionSpec("data"))

    def heads_place(self, leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        """Where `heads` puts an array, on the mesh that there is."""
        assert self.mesh is not None
        split = leaf.shape[-2] % self.mesh.shape["model"] == 0
        return NamedSharding(self.mesh, PartitionSpec(*[None] * (leaf.ndim - 2), *["model"] * split))

    def weight_place(self, path: tuple, leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        """Where `params` puts the parameter of that path, as `jax.tree` gives it, on the mesh that there is."""
        assert self.mesh is not None
        layer = path[-2].key if len(path) > 1 else ""
        spec = PartitionSpec()
        if path[-1].key == "kernel" and leaf.ndim >= 2:
            stacked = [None] * (leaf.ndim - 2)  # of several layers
            if layer in _BY_OUTPUT and leaf.shape[-2] % self.mesh.shape["model"] == 0:
                spec = PartitionSpec(*stacked, "model", None)
            if layer in _BY_INPUT and leaf.shape[-1] % self.mesh.shape["model"] == 0:
                spec = PartitionSpec(*stacked, None, "model")
        return NamedSharding(self.mesh, spec)


ONE_DEVICE = Devices()


def local_devices(model: int = 1) -> Devices:
    """Every device of this process, `model` of them to a copy of the weights; CosyError where that does not divide
    them."""
    return _mesh(jax.local_devices(), model)


def all_devices(model: int = 1) -> Devices:
    """As `local_devices`, of all processes that `jax.distributed` has joined."""
    return _mesh(jax.devices(), model)


def _mesh(found: list[jax.Device], model: int) -> Devices:
    if model < 1 or len(found) % model:
        raise CosyError(f"The weights cannot be split over {model} of {len(found)} devices: choose a divisor of them.")
    if len(found) == 1:
        return ONE_DEVICE
    return Devices(Mesh(np.asarray(found).reshape(-1, model), ("data", "model")))
