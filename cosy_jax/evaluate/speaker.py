"""Whose voice it sounds like: embeddings, and how near they are to each other.

S samples, T frames of 10 ms, D numbers of an embedding.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from cosy_jax.audio.read import MAX_SECONDS
from cosy_jax.audio.resample import resample
from cosy_jax.batch.origin import file_digest
from cosy_jax.checkpoint.integrity import open_folder
from cosy_jax.checkpoint.parameters import Parameters
from cosy_jax.checkpoint.reader import encoders_digest
from cosy_jax.errors import CosyError
from cosy_jax.evaluate.onnx_model import open_onnx
from cosy_jax.nn.devices import ONE_DEVICE
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.encode import MIN_SECONDS, batch_speaker_embeddings, speaker_features
from cosy_jax.prompt.features import RATE, kaldi_fbank

_BANDS = 80


class SpeakerModel(Protocol):
    """Voices as points; `name` says which model, `digest` which weights."""

    name: str
    digest: str
    conditioning: bool  # whether what is judged was made from these very embeddings

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """The voice in samples float32 (S,), at least 50 ms, as float (D,) of length 1."""
        ...


class CamPlus:
    """The speaker encoder of a converted folder, from which the model also takes the voice that it speaks in: what is
    like itself to it, need not be to a listener."""

    name, conditioning = "CAM++, the model's own conditioning", True

    def __init__(self, weights: str | Path) -> None:
        """CosyError where the folder lacks it."""
        folder = Path(weights)
        self._config = open_folder(folder)
        self._params = Parameters(folder, self._config, "llm", FLOAT32, ONE_DEVICE)
        self.digest = encoders_digest(folder)

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """As `SpeakerModel`."""
        features = speaker_features(_wave(samples, rate), self._config)
        return unit(batch_speaker_embeddings([features], self._params["speaker_encoder"], self._config)[0])


class OnnxSpeaker:
    """A network from Kaldi filter banks (1, T, 80), their means over time removed, as those of WeSpeaker and 3D-Speaker
    are, or from samples (1, S) at 16 kHz, to an embedding, its last output."""

    conditioning = False

    def __init__(self, path: str | Path) -> None:
        """CosyError where the file is no such network."""
        self._session = open_onnx(path)
        inputs = self._session.get_inputs()
        shape = inputs[0].shape
        self._input, self._axes = inputs[0].name, len(shape)
        bands = shape[2] if self._axes == 3 else _BANDS
        if self._axes not in (2, 3) or isinstance(bands, int) and bands != _BANDS:
            raise CosyError(f"{path} takes neither samples nor 80 filter banks: give another speaker model.")
        self.name, self.digest = Path(path).name, file_digest(Path(path)) or ""

    def embed(self, samples: np.ndarray, rate: int) -> np.ndarray:
        """As `SpeakerModel`."""
        features = _wave(samples, rate)
        if self._axes == 3:
            features = kaldi_fbank(features, _BANDS)
            features = features - features.mean(axis=0)
        return unit(np.reshape(self._session.run(None, {self._input: features[None]})[-1], -1))


def _wave(samples: np.ndarray, rate: int) -> np.ndarray:
    """At 16 kHz, no more than a prompt may have."""
    if len(samples) < MIN_SECONDS * rate:
        raise CosyError(f"Nothing is known of a voice from {len(samples) / rate:.3f} s: speak longer.")
    return resample(samples[: int(MAX_SECONDS * rate)], rate, RATE)


def unit(embedding: np.ndarray) -> np.ndarray:
    """A vector (D,) as float64 of length 1; one of zeros stays. CosyError for one that is not finite."""
    wide = np.asarray(embedding, np.float64)
    if not np.isfinite(wide).all():
        raise CosyError("The speaker model's embedding is not finite: give another model.")
    return wide / max(float(np.linalg.norm(wide)), np.finfo(np.float64).tiny)


def nearest(embedding: np.ndarray, voices: Mapping[str, np.ndarray]) -> str:
    """Which of the voices, each of length 1, has the largest cosine; of equals the first."""
    return max(voices, key=lambda name: float(embedding @ voices[name]))
