"""The flow's training."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset, Utterance
from cosy_jax.nn import buckets
from cosy_jax.nn.precision import get_precision
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.train.flow.loss import FlowBatch, draw_flow, flow_loss
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Key
from cosy_jax.train.totals import Totals


class FlowTask:
    """The velocity from noise to mel."""

    unit = "frames"

    def __init__(self, config: ModelConfig, settings: TrainSettings) -> None:
        self._config, self._settings = config, settings
        self._precision = get_precision(settings.dtype)
        self.buckets = [config.flow.token_mel_ratio * size for size in buckets.SPEECH_TOKENS]
        self.budget = int(settings.batch_seconds * config.token_rate * config.flow.token_mel_ratio)

    def lengths(self, dataset: Dataset) -> np.ndarray:
        return self._config.flow.token_mel_ratio * dataset.token_counts

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Any:
        flow, rows = self._config.flow, len(utterances)
        batch = FlowBatch(
            np.zeros((rows, size // flow.token_mel_ratio), np.int32),
            np.zeros(rows, np.int32),
            np.zeros((rows, size, flow.mel_bands), np.float32),
            np.ones((rows, flow.speaker_dim), np.float32),
        )
        for row, utterance in enumerate(utterances):
            if utterance is None:
                continue
            tokens, mel = self._aligned(utterance)
            batch.tokens[row, : len(tokens)], batch.lengths[row] = tokens, len(tokens)
            batch.mel[row, : len(mel)], batch.speaker[row] = mel, utterance.utterance_embedding
        return batch

    def loss(self, params: Tree, batch: Any, key: jax.Array) -> Totals:
        flow = self._config.flow
        draws = draw_flow(key, batch, flow, self._settings.dropout)
        return flow_loss(params, batch, draws, config=flow, precision=self._precision, remat=self._settings.remat)

    def _aligned(self, utterance: Utterance) -> tuple[np.ndarray, np.ndarray]:
        """Tokens and mel of one duration. The reference pads its audio to whole tokens; tokens that were made elsewhere
        may be one short, and what then has no counterpart goes."""
        ratio, rate = self._config.flow.token_mel_ratio, self._config.sample_rate
        samples = utterance.samples(rate)
        samples = np.pad(samples, (0, -len(samples) % (rate // self._config.token_rate)))
        mel = mel_spectrogram(samples, self._config.prompt_mel, rate)
        length = min(len(mel) // ratio, len(utterance.speech_tokens))
        return utterance.speech_tokens[:length], mel[: ratio * length]
