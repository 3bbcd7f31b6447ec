"""Training segments: crops of recordings with their mel and F0.

B batch, S samples, T mel frames, M mel bands.
"""

from collections.abc import Sequence

import numpy as np

from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.f0_target import f0_target
from cosy_jax.train.vocoder.losses import Batch


def crop(speech: np.ndarray, key: Sequence[int], samples: int) -> np.ndarray:
    """`samples` of audio (S,) from a place that the key alone decides, or all of it and zeros behind.

    Whole numbers from 0 on make a key, such as seed, epoch and number of the recording. Reference:
    cosyvoice/dataset/processor.py, truncate.
    """
    spare = len(speech) - samples
    if spare < 0:
        return np.pad(speech, (0, -spare))
    start = int(np.random.default_rng(list(key)).integers(spare + 1))
    return speech[start : start + samples]


def segment(speech: np.ndarray, key: Sequence[int], config: GanConfig) -> Batch:
    """A row of a batch, without the axis B, from audio (S,) at the vocoder's rate; float32.

    All of it is of the crop, zeros included, as in the reference.
    """
    rate = config.vocoder.sample_rate
    cut = crop(speech, key, config.segment_samples).astype(np.float32)
    mel = mel_spectrogram(cut, config.mel, rate)
    return Batch(cut, mel, f0_target(cut, len(mel), rate, config.mel.hop, config.fast_f0))


def collate(rows: Sequence[Batch]) -> Batch:
    """The rows as one batch."""
    return Batch(*(np.stack(parts) for parts in zip(*rows, strict=True)))
