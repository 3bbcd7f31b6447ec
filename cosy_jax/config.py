"""Sizes and settings of every stage, as frozen dataclasses.

`cosy_jax.conversions.release_config` fills them from a released folder (cosyvoice3.yaml, CosyVoice-BlankEN/config.json
and the two ONNX files); `config.json` of a converted folder stores them. The defaults are the released
Fun-CosyVoice3-0.5B sizes.
"""

import dataclasses
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class LLMConfig:
    """Qwen2 backbone plus the speech vocabulary (reference: cosyvoice/llm/llm.py, CosyVoice3LM)."""

    text_vocab_size: int = 151936
    hidden_size: int = 896
    num_layers: int = 24
    num_heads: int = 14
    num_kv_heads: int = 2
    intermediate_size: int = 4864
    rope_theta: float = 1e6
    rms_norm_eps: float = 1e-6
    speech_token_size: int = 6561  # codebook size; ids from here on are control ids
    speech_vocab_size: int = 6761  # codebook plus 200 control ids
    text_turn: int = 5  # ids that are read, and then
    speech_turn: int = 15  # spoken, in turns where text arrives in pieces
    silent_ids: tuple[int, ...] = (1, 2, 28, 29, 55, 248, 494, 2241, 2242, 2322, 2323)  # codes of silence and breath

    @property
    def head_dim(self) -> int:
        return self.hidden_size // self.num_heads

    @property
    def sos_id(self) -> int:
        return self.speech_token_size

    @property
    def eos_id(self) -> int:
        return self.speech_token_size + 1

    @property
    def task_id(self) -> int:
        return self.speech_token_size + 2

    @property
    def fill_id(self) -> int:
        return self.speech_token_size + 3


@dataclass(frozen=True)
class SamplingConfig:
    """Repetition-aware sampling (VALL-E 2, https://arxiv.org/abs/2406.05370) and the length rules."""

    top_p: float = 0.8
    top_k: int = 25
    window: int = 10
    repetition_rate: float = 0.1
    min_ratio: float = 2.0  # speech tokens per text token, prompt text excluded
    max_ratio: float = 20.0


@dataclass(frozen=True)
class FlowConfig:
    """Flow matching from tokens to mel (reference: cosyvoice/flow/flow.py, CausalMaskedDiffWithDiT)."""

    token_vocab_size: int = 6561
    mel_bands: int = 80
    speaker_dim: int = 192
    token_mel_ratio: int = 2
    lookahead: int = 3  # tokens
    lookahead_channels: int = 1024
    dim: int = 1024
    depth: int = 22
    heads: int = 16
    head_dim: int = 64
    ff_mult: int = 2
    conv_kernel: int = 31
    conv_groups: int = 16
    time_dim: int = 256
    chunk_frames: int = 50  # attention chunk when streaming
    guidance_rate: float = 0.7
    num_steps: int = 10


@dataclass(frozen=True)
class VocoderConfig:
    """Causal HiFT (reference: cosyvoice/hifigan/generator.py, CausalHiFTGenerator)."""

    mel_bands: int = 80
    base_channels: int = 512
    harmonics: int = 9  # the fundamental and 8 overtones
    sample_rate: int = 24000
    sine_amplitude: float = 0.1
    noise_std: float = 0.003
    voiced_threshold: float = 10.0  # Hz
    upsample_rates: tuple[int, ...] = (8, 5, 3)
    upsample_kernels: tuple[int, ...] = (16, 11, 7)
    n_fft: int = 16
    hop: int = 4
    resblock_kernels: tuple[int, ...] = (3, 7, 11)
    resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    source_resblock_kernels: tuple[int, ...] = (7, 7, 11)
    source_resblock_dilations: tuple[tuple[int, ...], ...] = ((1, 3, 5), (1, 3, 5), (1, 3, 5))
    leaky_slope: float = 0.1
    audio_limit: float = 0.99
    lookahead: int = 4  # mel frames that conv_pre sees to the right
    f0_channels: int = 512
    f0_lookahead: int = 3  # mel frames

    @property
    def samples_per_frame(self) -> int:
        samples = self.hop
        for rate in self.upsample_rates:
            samples *= rate
        return samples


@dataclass(frozen=True)
class SpeechTokenizerConfig:
    """S3 tokenizer v3: conv front, FSMN transformer, FSQ (reference: speech_tokenizer_v3.onnx)."""

    mel_bands: int = 128
    dim: int = 1280
    heads: int = 20
    num_blocks: int = 12
    memory_kernel: int = 31
    rope_theta: float = 10000.0
    norm_eps: float = 1e-5
    levels: int = 3
    code_dim: int = 8

    @property
    def head_dim(self) -> int:
        return self.dim // self.heads


@dataclass(frozen=True)
class SpeakerEncoderConfig:
    """CAM++ (https://arxiv.org/abs/2303.00332; reference: campplus.onnx)."""

    feature_bands: int = 80
    head_channels: int = 32
    init_channels: int = 128
    growth: int = 32
    bottleneck_channels: int = 128
    block_layers: tuple[int, ...] = (12, 24, 16)
    block_kernels: tuple[int, ...] = (3, 3, 3)
    block_dilations: tuple[int, ...] = (1, 2, 2)
    segment_frames: int = 100
    embedding_dim: int = 192
    norm_eps: float = 1e-5


@dataclass(frozen=True)
class PromptMelConfig:
    """The 24 kHz mel that the flow is conditioned on (reference: matcha.utils.audio.mel_spectrogram)."""

    n_fft: int = 1920
    hop: int = 480
    mel_bands: int = 80
    fmin: float = 0.0
    fmax: float | None = None  # None: Nyquist


@dataclass(frozen=True)
class ModelConfig:
    """Everything `config.json` says about the network."""

    sample_rate: int = 24000
    token_rate: int = 25
    llm: LLMConfig = field(default_factory=LLMConfig)
    sampling: SamplingConfig = field(default_factory=SamplingConfig)
    flow: FlowConfig = field(default_factory=FlowConfig)
    vocoder: VocoderConfig = field(default_factory=VocoderConfig)
    speech_tokenizer: SpeechTokenizerConfig = field(default_factory=SpeechTokenizerConfig)
    speaker_encoder: SpeakerEncoderConfig = field(default_factory=SpeakerEncoderConfig)
    prompt_mel: PromptMelConfig = field(default_factory=PromptMelConfig)

    def to_dict(self) -> dict[str, Any]:
        """Plain nested dict, ready for JSON."""
        return dataclasses.asdict(self)
