"""A small GAN learns a few segments by heart."""

from dataclasses import replace

import jax
import numpy as np
import pytest

from cosy_jax.config import VocoderConfig
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.train.vocoder.config import AdamConfig, DiscriminatorConfig, GanConfig
from cosy_jax.train.vocoder.losses import Batch
from cosy_jax.train.vocoder.steps import draws, init_state, step

CONFIG = GanConfig(
    vocoder=VocoderConfig(
        base_channels=24,
        f0_channels=16,
        resblock_kernels=(7,),
        resblock_dilations=((1, 3),),
        source_resblock_dilations=((1,), (1,), (1,)),
    ),
    discriminators=DiscriminatorConfig(
        periods=(2, 3, 5), period_channels=(4, 8, 16), n_ffts=(512,), hops=(120,), windows=(480,), spectral_channels=2
    ),
    generator_adam=AdamConfig(learning_rate=2e-3, b1=0.8, b2=0.99, clip_norm=50.0),
    discriminator_adam=AdamConfig(b1=0.8, b2=0.99),
    segment_frames=6,
)


_STEPS, _FINE = 400, 250  # updates, and from which on they are small


def bursts() -> Batch:
    """Eight segments: harmonic tones of different pitch that swell and fall silent."""
    random, rows = np.random.default_rng(0), (8, 1)
    time = np.arange(CONFIG.segment_samples) / CONFIG.vocoder.sample_rate
    hertz = random.uniform(100, 300, rows)
    swell = np.sin(2 * np.pi * (random.uniform(6, 12, rows) * time + random.uniform(0, 1, rows)))
    tone = np.sum([np.sin(2 * np.pi * k * hertz * time + k * k) / k for k in range(1, 40)], axis=0)
    speech = (0.2 * np.maximum(swell, 0) * tone + 1e-4 * random.standard_normal(tone.shape)).astype(np.float32)
    mel = np.stack([mel_spectrogram(row, CONFIG.mel) for row in speech])
    return Batch(speech, mel, np.repeat(hertz, CONFIG.segment_frames, axis=1).astype(np.float32))


@pytest.mark.slow
def test_it_learns_eight_segments_by_heart():
    batch, state, config, mel, f0 = bursts(), init_state(jax.random.key(0), CONFIG), CONFIG, [], []
    for index in range(_STEPS):
        if index == _FINE:
            config = replace(CONFIG, generator_adam=replace(CONFIG.generator_adam, learning_rate=5e-4))
        state, metrics = step(state, batch, draws(jax.random.key(index), batch, config), config=config)
        metrics = jax.device_get(metrics)
        assert all(np.isfinite(value) for value in metrics.values()), index
        mel.append(metrics["g_mel"])
        f0.append(metrics["g_f0"])
    assert np.mean(mel[-10:]) < mel[0] / 4
    assert np.mean(f0[-10:]) < f0[0] / 10
