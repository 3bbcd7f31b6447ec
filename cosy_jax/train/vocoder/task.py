"""Batches of the vocoder's training."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from cosy_jax.dataset.read import Dataset, Utterance
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Key
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.losses import Batch
from cosy_jax.train.vocoder.segments import collate, segment
from cosy_jax.train.vocoder.steps import random_discriminators
from cosy_jax.train.vocoder.weight_norm import fold, unfold


class VocoderTask:
    """A segment of every utterance."""

    unit = "frames"

    def __init__(self, config: GanConfig, settings: TrainSettings) -> None:
        self._config = config
        self.buckets = (config.segment_frames,)
        self.budget = int(settings.batch_seconds * config.vocoder.sample_rate / config.mel.hop)

    def lengths(self, dataset: Dataset) -> np.ndarray:
        return np.full(len(dataset), self._config.segment_frames)

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Batch:
        """Where rows are empty, one of the others is taken once more, cut elsewhere."""
        real = [utterance for utterance in utterances if utterance is not None]
        rate = self._config.vocoder.sample_rate
        rows = [real[index % len(real)].samples(rate) for index in range(len(utterances))]
        return collate([segment(samples, key, self._config) for samples, key in zip(rows, keys, strict=True)])


class GanParametrisation:
    """Generator and discriminators, both with weight norm; the discriminators are random at first, and left behind."""

    def __init__(self, config: GanConfig) -> None:
        self._config = config

    def split(self, params: Tree, key: jax.Array) -> tuple[Tree, Tree]:
        discriminators = unfold(random_discriminators(key, self._config))
        return {"generator": unfold(params), "discriminators": discriminators}, {}

    def join(self, learnt: Tree, frozen: Tree) -> Tree:
        return learnt

    def merge(self, learnt: Tree, frozen: Tree) -> Any:
        return fold(learnt["generator"])
