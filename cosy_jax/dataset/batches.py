"""Which utterances make a batch: like lengths together, in an order that depends on nothing but seed and epoch."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cosy_jax.dataset.read import Dataset
from cosy_jax.errors import CosyError


@dataclass(frozen=True)
class Batch:
    """The rows of one process in one step."""

    indices: np.ndarray  # int64 (rows,); -1 for an empty row that only fills the shape
    size: int  # what rows are padded to: no length is above it


def epoch_batches(
    lengths: Sequence[int] | np.ndarray,
    *,
    buckets: Sequence[int],
    budget: int,
    seed: int,
    epoch: int,
    process: int = 0,
    processes: int = 1,
) -> list[Batch]:
    """The batches of a process in an epoch, each of max(1, budget // size) rows of one bucket.

    Over all processes every index is there once; step n has the same shape in all of them. A resumed epoch leaves out
    the batches that it had. `lengths`, `budget` and the ascending `buckets` are in one unit; padding counts.
    What is left of a bucket's utterances goes with the next larger one's, where that is cheaper than empty rows.
    CosyError for a length that no bucket holds, and a process or budget that cannot be.
    """
    sizes = np.asarray(buckets)
    _check(np.asarray(lengths), sizes, budget, process, processes)
    order = _shuffled(len(lengths), seed, epoch, 0)
    own = sizes[np.searchsorted(sizes, lengths)][order]  # the bucket of each
    steps: list[tuple[int, np.ndarray]] = []
    left = order[:0]
    used = np.unique(own).tolist()
    for size, larger in zip(used, [*used[1:], None], strict=True):
        rows = max(1, budget // size) * processes
        pool = np.concatenate([order[own == size], left])
        pool = pool[_shuffled(len(pool), seed, epoch, size)]
        whole = len(pool) // rows * rows
        steps += [(size, step) for step in pool[:whole].reshape(-1, rows)]
        left = pool[whole:]
        if len(left) and (larger is None or len(left) * larger > rows * size):
            steps.append((size, np.pad(left, (0, rows - len(left)), constant_values=-1)))
            left = left[:0]
    shuffled = _shuffled(len(steps), seed, epoch, 1 + int(sizes[-1]))
    # Every so many: the empty rows of a step are shared out.
    return [Batch(steps[step][1][process::processes], steps[step][0]) for step in shuffled]


def split(dataset: Dataset, held_out: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The utterances to train with, and `held_out` others: int64 indices of each, ascending.

    Held out are those whose key has the smallest digest. When data is added, an utterance that was trained with is
    never held out later; of those held out, as many are trained with as new ones take their places. CosyError where
    nothing is left to train with.
    """
    if not 0 <= held_out < len(dataset):
        raise CosyError(f"{held_out} of {len(dataset)} utterances cannot be held out: leave some to train with.")
    digests = [hashlib.sha256(f"{seed}:{key}".encode()).digest() for key in dataset.keys]
    order = np.asarray(sorted(range(len(digests)), key=lambda index: (digests[index], index)), np.int64)
    return np.sort(order[held_out:]), np.sort(order[:held_out])


def _check(lengths: np.ndarray, sizes: np.ndarray, budget: int, process: int, processes: int) -> None:
    if not len(lengths):
        raise CosyError("There is no utterance to make batches of: build the data from more recordings.")
    if lengths.max() > sizes[-1]:
        raise CosyError(
            f"Utterance {int(lengths.argmax())} has length {lengths.max()}, more than the {sizes[-1]} of the largest "
            "batch: leave it out, or allow longer ones."
        )
    if budget < 1 or not 0 <= process < processes:
        raise CosyError(f"No batch can be made with budget {budget} for process {process} of {processes}.")


def _shuffled(count: int, seed: int, epoch: int, purpose: int) -> np.ndarray:
    """A permutation int64 (count,). Of raw draws: numpy keeps those for good, its shuffles it may change."""
    draws = np.random.PCG64([seed, epoch, purpose]).random_raw(count)
    return np.argsort(draws, kind="stable")
