"""The language model's training."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset, Utterance
from cosy_jax.errors import CosyError
from cosy_jax.nn import buckets
from cosy_jax.nn.precision import get_precision
from cosy_jax.text.special_tokens import END_OF_PROMPT
from cosy_jax.text.tokenizer import TextTokenizer
from cosy_jax.train.llm.dpo import Pairs, dpo_loss
from cosy_jax.train.llm.layout import TrainingRow, stack_rows, takes_turns, training_row
from cosy_jax.train.llm.loss import drop_history, llm_loss
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Key
from cosy_jax.train.totals import Totals


class LLMTask:
    """Next speech id, or with `settings.dpo` the preferred speech against the rejected."""

    unit = "ids"
    buckets = buckets.LM_CONTEXT

    def __init__(self, config: ModelConfig, tokenizer: TextTokenizer, settings: TrainSettings, reference: Tree) -> None:
        """`reference`: the parameters before training, which DPO compares with."""
        self._config, self._tokenizer, self._settings = config.llm, tokenizer, settings
        self._reference = reference if settings.dpo else None
        self._precision = get_precision(settings.dtype)
        self.budget = int(settings.batch_seconds * config.token_rate)

    def lengths(self, dataset: Dataset) -> np.ndarray:
        """Both layouts have the same: sos and task, and the ids of instruction, text and speech."""
        texts = [sum(len(self._tokenizer.encode(text)) for text in pair) for pair in dataset.texts()]
        speech = np.maximum(dataset.token_counts, dataset.rejected_counts if self._settings.dpo else 0)
        return 2 + np.asarray(texts) + speech

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Any:
        chosen, rejected = [], []
        for utterance, key in zip(utterances, keys, strict=True):
            if utterance is None:
                continue
            coin = np.random.default_rng(key).random()
            chosen.append(self._row(utterance, utterance.speech_tokens, coin))
            if self._settings.dpo:
                rejected.append(self._row(utterance, self._rejected(utterance), coin))
        rows = stack_rows(chosen, size, len(utterances))
        return Pairs(rows, stack_rows(rejected, size, len(utterances))) if self._settings.dpo else rows

    def loss(self, params: Tree, batch: Any, key: jax.Array) -> Totals:
        how: dict[str, Any] = {"config": self._config, "precision": self._precision, "remat": self._settings.remat}
        if self._settings.dpo:
            return dpo_loss(params, self._reference, batch, beta=self._settings.beta, **how)
        if self._settings.history_dropout:
            batch = drop_history(batch, self._settings.history_dropout, key, self._config)
        return llm_loss(params, batch, **how)

    def _row(self, utterance: Utterance, speech: np.ndarray, coin: float) -> TrainingRow:
        instruct = utterance.instruct
        if not instruct.endswith(END_OF_PROMPT):
            raise CosyError(f"The instruction of '{utterance.key}' does not end with {END_OF_PROMPT}: add it.")
        text = self._tokenizer.encode(utterance.text)
        turns = takes_turns(coin, len(text), len(speech), self._config)
        return training_row(self._tokenizer.encode(instruct), text, speech.tolist(), self._config, turns)

    def _rejected(self, utterance: Utterance) -> np.ndarray:
        if utterance.rejected_tokens is None:
            raise CosyError(f"'{utterance.key}' has no rejected speech (reject_speech_token), which dpo learns from.")
        return utterance.rejected_tokens
