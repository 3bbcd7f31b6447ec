"""Teaching the speaker encoder to tell speakers apart (reference: 3D-Speaker's sv-cam++ recipe; additive angular margin
softmax, https://arxiv.org/abs/1801.07698).

B rows, T frames, E embedding, C speakers.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cosy_jax.config import ModelConfig
from cosy_jax.dataset.read import Dataset, Utterance
from cosy_jax.prompt.features import RATE, kaldi_fbank
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.train.parametrisation import Tree
from cosy_jax.train.prompt.heads import Directions
from cosy_jax.train.settings import TrainSettings
from cosy_jax.train.task import Key
from cosy_jax.train.totals import Array, Totals

SCALE, MARGIN = 32.0, 0.2
_CROP = 300  # frames of 10 ms
_SHORTEST = 50


class SpeakerBatch(NamedTuple):
    """Filter banks (B, T, 80) with their mean over time removed, lengths int (B,), speakers int (B,), -1 for none."""

    fbank: Array
    lengths: Array
    speakers: Array


class SpeakerEncoderTask:
    """Speakers from three seconds of speech, wherever they are cut out."""

    unit = "frames"
    buckets = (_CROP,)

    def __init__(self, config: ModelConfig, settings: TrainSettings, speakers: Sequence[str]) -> None:
        self._config = config
        self._encoder = SpeakerEncoder(config.speaker_encoder)
        self._speakers = {name: index for index, name in enumerate(speakers)}
        self.head = Directions(len(speakers))
        self.budget = int(settings.batch_seconds * RATE / 160)

    def lengths(self, dataset: Dataset) -> np.ndarray:
        return np.full(len(dataset), _CROP)

    def batch(self, utterances: Sequence[Utterance | None], size: int, keys: Sequence[Key]) -> Any:
        rows, bands = len(utterances), self._config.speaker_encoder.feature_bands
        batch = SpeakerBatch(
            np.zeros((rows, size, bands), np.float32), np.full(rows, _SHORTEST, np.int32), np.full(rows, -1, np.int32)
        )
        for row, utterance in enumerate(utterances):
            if utterance is None:
                continue
            fbank = kaldi_fbank(utterance.samples(RATE), bands)
            start = np.random.default_rng(keys[row]).integers(max(len(fbank) - size, 0) + 1)
            fbank = fbank[start : start + size]
            batch.fbank[row, : len(fbank)], batch.lengths[row] = fbank - fbank.mean(axis=0), len(fbank)
            batch.speakers[row] = self._speakers[utterance.speaker]
        return batch

    def loss(self, params: Tree, batch: SpeakerBatch, key: jax.Array) -> Totals:
        embeddings, found = self._encoder.apply(
            {"params": params["encoder"]}, batch.fbank, batch.lengths, mutable=["statistics"]
        )
        cosines = self.head.apply({"params": params["head"]}, embeddings)
        totals = angular_margin(cosines, jnp.asarray(batch.speakers))
        followed = jax.tree.map(lambda leaf: leaf * totals.weight, found["statistics"])
        return totals._replace(statistics={"encoder": jax.lax.stop_gradient(followed)})


def angular_margin(cosines: jax.Array, speakers: jax.Array) -> Totals:
    """Softmax cross-entropy of cosines (B, C) scaled by 32, the right one's angle made larger by 0.2 (at most pi)."""
    real = speakers >= 0
    wanted = jnp.maximum(speakers, 0)
    cosine = jnp.take_along_axis(cosines, wanted[:, None], axis=1)[:, 0]
    sine = jnp.sqrt(jnp.maximum(1 - cosine**2, 1e-12))
    further = cosine * np.cos(MARGIN) - sine * np.sin(MARGIN)
    # Beyond pi - m the cosine would rise again: from there on it falls straight.
    further = jnp.where(cosine > -np.cos(MARGIN), further, cosine - MARGIN * np.sin(MARGIN))
    logits = SCALE * jnp.where(jax.nn.one_hot(wanted, cosines.shape[1], dtype=bool), further[:, None], cosines)
    losses = optax.softmax_cross_entropy_with_integer_labels(logits, wanted)
    right = real & (jnp.argmax(cosines, axis=-1) == speakers)
    return Totals(jnp.sum(jnp.where(real, losses, 0)), jnp.sum(real), {"accuracy": jnp.sum(right)})
