"""A small GAN and a batch for it."""

import numpy as np

from cosy_jax.config import VocoderConfig
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.train.vocoder.config import DiscriminatorConfig, GanConfig
from cosy_jax.train.vocoder.losses import Batch

CONFIG = GanConfig(
    vocoder=VocoderConfig(
        base_channels=16,
        f0_channels=8,
        resblock_kernels=(3,),
        resblock_dilations=((1,),),
        source_resblock_dilations=((1,), (1,), (1,)),
    ),
    discriminators=DiscriminatorConfig(
        periods=(2, 3), period_channels=(2, 4), n_ffts=(256,), hops=(60,), windows=(120,), spectral_channels=2
    ),
    segment_frames=5,
)


def tones(rows: int, config: GanConfig) -> Batch:
    """Buzzing tones of different pitch and loudness, all voiced."""
    random = np.random.default_rng(0)
    time = np.arange(config.segment_samples) / config.vocoder.sample_rate
    hertz = random.uniform(100, 300, (rows, 1))
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * random.uniform(3, 9, (rows, 1)) * time)
    speech = 0.3 * swell * sum(np.sin(2 * np.pi * k * hertz * time) / k for k in range(1, 8))
    speech = (speech + 0.005 * random.standard_normal(speech.shape)).astype(np.float32)
    mel = np.stack([mel_spectrogram(row, config.mel) for row in speech])
    return Batch(speech, mel, np.repeat(hertz, config.segment_frames, axis=1).astype(np.float32))
