"""Teaching the speech tokenizer from labels: what a token says is what a label can be told from.

The tokenizer's own training is not public. Its paper (https://arxiv.org/abs/2505.17589, section 2.1) puts finite scalar
quantisation (https://arxiv.org/abs/2309.15505) into an encoder that is supervised by recognition and other tasks; here
the codes are supervised by labels alone, one a token, or a sequence by CTC.

B rows, T mel frames, L tokens, N digits, C classes, U labels.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset, Utterance
from cosy_jax.errors import CosyError
from cosy_jax.nn.buckets import TOKENIZER_FRAMES
from cosy_jax.nn.layers import length_mask
from cosy_jax.prompt.features import RATE, whisper_log_mel
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.prompt.heads import LabelHead
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Key
from cosy_jax.train.totals import Array, Totals

_LONGEST = 3000  # frames of 10 ms
_FRAMES_A_TOKEN = 4
_IGNORED = -1
BLANK = 0  # of CTC, so that label n is class n + 1


class LabelBatch(NamedTuple):
    """Whisper log-mel (B, T, M), lengths int (B,) in frames, labels int (B, L), -1 where there is none."""

    mel: Array
    lengths: Array
    labels: Array


class SpeechTokenizerTask:
    """Labels from codes."""

    unit = "frames"
    buckets = range(TOKENIZER_FRAMES, _LONGEST + 1, TOKENIZER_FRAMES)

    def __init__(self, config: ModelConfig, settings: TrainSettings, classes: int) -> None:
        self._config, self._ctc = config, settings.ctc
        self._encoder = SpeechTokenizer(config.speech_tokenizer)
        self.head = LabelHead(classes + settings.ctc)
        self.budget = int(settings.batch_seconds * RATE / 160)

    def lengths(self, dataset: Dataset) -> np.ndarray:
        return _FRAMES_A_TOKEN * dataset.token_counts

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Any:
        rows, tokens = len(utterances), -(-size // _FRAMES_A_TOKEN)
        bands = self._config.speech_tokenizer.mel_bands
        mels, lengths = np.zeros((rows, size, bands), np.float32), np.ones(rows, np.int32)
        labels = np.full((rows, tokens), _IGNORED, np.int32)
        for row, utterance in enumerate(utterances):
            if utterance is None:
                continue
            mel, wanted = whisper_log_mel(utterance.samples(RATE), bands)[:size], _labels(utterance)
            mels[row, : len(mel)], lengths[row] = mel, len(mel)
            labels[row, : min(len(wanted), tokens)] = wanted[:tokens]
        return LabelBatch(mels, lengths, labels)

    def loss(self, params: Tree, batch: LabelBatch, key: jax.Array) -> Totals:
        values, lengths = self._encoder.apply({"params": params["encoder"]}, batch.mel, batch.lengths)
        logits = self.head.apply({"params": params["head"]}, straight_through(values))
        labels = jnp.asarray(batch.labels)
        return _ctc(logits, lengths, labels) if self._ctc else _frames(logits, lengths, labels)


def straight_through(values: jax.Array) -> jax.Array:
    """Rounded, with the gradient of what was rounded."""
    return values + jax.lax.stop_gradient(jnp.round(values) - values)


def _frames(logits: jax.Array, lengths: jax.Array, labels: jax.Array) -> Totals:
    """Cross-entropy over tokens (B, L) that have a label."""
    kept = (labels != _IGNORED) & length_mask(lengths, labels.shape[1])
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, jnp.where(kept, labels, 0))
    right = kept & (jnp.argmax(logits, axis=-1) == labels)
    return Totals(jnp.sum(jnp.where(kept, losses, 0)), jnp.sum(kept), {"accuracy": jnp.sum(right)})


def _ctc(logits: jax.Array, lengths: jax.Array, labels: jax.Array) -> Totals:
    """Connectionist temporal classification (Graves et al. 2006) of label sequences, over their number of labels."""
    absent = labels == _IGNORED
    outside = ~length_mask(lengths, logits.shape[1])
    losses = optax.ctc_loss(
        logits, outside.astype(logits.dtype), labels + 1, absent.astype(logits.dtype), blank_id=BLANK
    )
    real = jnp.any(~absent, axis=-1)
    return Totals(jnp.sum(jnp.where(real, losses, 0)), jnp.sum(~absent), {})


def _labels(utterance: Utterance) -> np.ndarray:
    if utterance.labels is None:
        raise CosyError(
            f"'{utterance.key}' has no labels for the speech tokenizer to learn: give them in the manifest."
        )
    return utterance.labels
