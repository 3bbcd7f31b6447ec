"""Sizes and settings of the vocoder's training; the defaults are those of the reference (cosyvoice3.yaml: hifigan,
train_conf_gan)."""

from dataclasses import dataclass, field

from cosy_jax.config import PromptMelConfig, VocoderConfig


@dataclass(frozen=True)
class DiscriminatorConfig:
    """A discriminator a period and one a resolution (HiFi-GAN, https://arxiv.org/abs/2010.05646; UnivNet,
    https://arxiv.org/abs/2106.07889)."""

    periods: tuple[int, ...] = (2, 3, 5, 7, 11)
    period_channels: tuple[int, ...] = (32, 128, 512, 1024, 1024)
    n_ffts: tuple[int, ...] = (1024, 2048, 512)
    hops: tuple[int, ...] = (120, 240, 50)
    windows: tuple[int, ...] = (600, 1200, 240)
    spectral_channels: int = 32
    leaky_slope: float = 0.1


@dataclass(frozen=True)
class LossConfig:
    """Weights of the terms beside the least-squares one; `tpr_limit` bounds that term of each discriminator."""

    features: float = 2.0
    mel: float = 45.0
    tpr: float = 1.0
    tpr_limit: float = 0.04
    f0: float = 1.0
    stft: float = 0.0  # while it learns alone; the reference has no such term
    stft_windows: tuple[int, ...] = (512, 1024, 2048)  # samples; a hop is a quarter


@dataclass(frozen=True)
class AdamConfig:
    """Adam and the norm its gradients are clipped to."""

    learning_rate: float = 2e-4
    b1: float = 0.9
    b2: float = 0.999
    clip_norm: float = 5.0


@dataclass(frozen=True)
class GanConfig:
    """All of it; `mel` is the vocoder's input, and what the mel loss compares."""

    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    mel: PromptMelConfig = field(default_factory=PromptMelConfig)
    discriminators: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    generator_adam: AdamConfig = field(default_factory=AdamConfig)
    discriminator_adam: AdamConfig = field(default_factory=AdamConfig)
    fast_f0: bool = False  # F0 targets by dio alone
    segment_frames: int = 52  # mel frames of a training segment: 24960 samples

    @property
    def segment_samples(self) -> int:
        return self.segment_frames * self.mel.hop
