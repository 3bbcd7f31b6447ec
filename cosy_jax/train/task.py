"""What a stage brings to its training; everything else is the same for all."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from cosy_jax.dataset.read import Dataset, Utterance

Key = tuple[int, ...]  # whole numbers from 0 on, which decide what is drawn for a row on the host


class Task(Protocol):
    """From utterances to batches."""

    @property
    def unit(self) -> str:
        """Of lengths: what is counted a second, such as "frames"."""

    @property
    def buckets(self) -> Sequence[int]:
        """Lengths that rows are padded to, ascending."""

    @property
    def budget(self) -> int:
        """Rows times length of a micro-batch on one device."""

    def lengths(self, dataset: Dataset) -> np.ndarray:
        """Of every utterance, int (len(dataset),); no recording is decoded for it. Beyond the last bucket: left out."""

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Any:
        """A pytree of numpy arrays whose first axis is the utterances', None for an empty row; `size` is a bucket.
        `keys`: one a row."""
