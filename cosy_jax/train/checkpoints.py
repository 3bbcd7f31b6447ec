"""Checkpoints of a run, by orbax: written beside the training, whole or not at all."""

import logging
from pathlib import Path

import jax
import jax.numpy as jnp
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from cosy_jax.train.learner import State

_METRIC = "held_out"


class Checkpoints:
    """The last `keep` of a run and the one with the least held-out loss."""

    def __init__(self, folder: Path, keep: int) -> None:
        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells every step it takes
        policies = [
            checkpoint_managers.LatestN(n=keep),
            checkpoint_managers.BestN(get_metric_fn=lambda metrics: metrics[_METRIC], reverse=True, n=1),
        ]
        self._manager = ocp.CheckpointManager(
            folder,
            options=ocp.CheckpointManagerOptions(
                preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
                cleanup_tmp_directories=True,
                enable_async_checkpointing=True,
            ),
        )

    @property
    def steps(self) -> list[int]:
        """Of which steps there are checkpoints, ascending."""
        return sorted(self._manager.all_steps())

    def save(self, state: State, held_out: float) -> None:
        """Returns before it is written; the next save waits for it."""
        # A copy: the next step reuses the memory of `state`, which on a CPU is what would be written.
        copy = jax.tree.map(jnp.copy, state)
        self._manager.save(int(state.step), args=ocp.args.StandardSave(copy), metrics={_METRIC: held_out})

    def restore(self, state: State, step: int) -> State:
        """That of a step, in the types, shapes and places of `state`."""
        return self._manager.restore(step, args=ocp.args.StandardRestore(jax.tree.map(_abstract, state)))

    def best(self) -> int | None:
        """The step with the least held-out loss; None without checkpoints."""
        return self._manager.best_step() if self.steps else None

    def close(self) -> None:
        """Waits until all is written."""
        self._manager.wait_until_finished()
        self._manager.close()


def _abstract(leaf: jax.Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding)
