"""Micro-batches in an order that depends on seed and step alone, so that a run goes on where it was ended."""

import threading
from collections.abc import Generator, Iterator, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from cosy_jax.dataset.batches import Batch, epoch_batches
from cosy_jax.dataset.prefetch import prefetch
from cosy_jax.dataset.read import Dataset
from cosy_jax.errors import CosyError
from cosy_jax.train.task import Task


class Feed:
    """The utterances `indices` of a data set, again and again, as a task's batches.

    `rows` of each are a multiple of that number, that of the devices; every process has its part of each batch.
    """

    def __init__(
        self, dataset: Dataset, task: Task, indices: np.ndarray, seed: int, devices: int, process: int, processes: int
    ) -> None:
        self._dataset, self._task, self._seed = dataset, task, seed
        self._devices, self._process, self._processes = devices, process, processes
        lengths = task.lengths(dataset)[indices]
        fitting = lengths <= task.buckets[-1]
        self.left_out = int(np.sum(~fitting))
        self._indices, self._lengths = indices[fitting], lengths[fitting]
        if not len(self._indices):
            raise CosyError("No utterance is short enough for the largest batch: use shorter recordings.")
        self._epoch = lru_cache(maxsize=2)(self._plan)
        self._lock = threading.Lock()

    def plan(self, epoch: int) -> Sequence[Batch]:
        """The batches of an epoch, indices counted from 0 in this feed."""
        with self._lock:
            return self._epoch(epoch)

    def batches(self, start: int) -> Generator[tuple[int, Any]]:
        """From batch `start` of the run on, without end: the lengths it is padded to, and the batch, loaded ahead."""
        return prefetch(self._load, self._order(start))

    def once(self) -> Generator[tuple[int, Any]]:
        """Every utterance once, always in the same batches."""
        return prefetch(self._load, [(0, number, batch) for number, batch in enumerate(self.plan(0))])

    def _plan(self, epoch: int) -> list[Batch]:
        return epoch_batches(
            self._lengths, buckets=self._task.buckets, budget=self._task.budget * self._devices, seed=self._seed,
            epoch=epoch, process=self._process, processes=self._processes,
        )  # fmt: skip

    def _order(self, start: int) -> Iterator[tuple[int, int, Batch]]:
        count = len(self.plan(0))  # of one epoch; others may differ by the rows that fill a shape
        epoch, skipped = 0, 0
        while start - skipped >= (count := len(self.plan(epoch))):
            epoch, skipped = epoch + 1, skipped + count
        place = start - skipped
        while True:
            for number, batch in list(enumerate(self.plan(epoch)))[place:]:
                yield epoch, number, batch
            epoch, place = epoch + 1, 0

    def _load(self, item: tuple[int, int, Batch]) -> tuple[int, Any]:
        epoch, number, batch = item
        indices = [int(self._indices[index]) if index >= 0 else None for index in batch.indices]
        indices += [None] * (-len(indices) % self._devices)
        found = [None if index is None else self._dataset[index] for index in indices]
        # Of the utterance and not of its row, so that it does not matter how rows are spread over processes.
        empty = len(self._dataset) * (1 + number)
        keys = [(self._seed, epoch, empty + row if index is None else index) for row, index in enumerate(indices)]
        return batch.size, self._task.batch(found, batch.size, keys)
