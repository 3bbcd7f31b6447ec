"""A recording as the model wants it: speech tokens, mel and speaker embedding.

S samples, T frames, L speech tokens, M mel bands.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import Waveform, check_audio, load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.buckets import SPEAKER_FRAMES, TOKENIZER_FRAMES
from cosy_jax.prompt.features import RATE, kaldi_fbank, mel_spectrogram, whisper_log_mel
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.prompt.speech_tokenizer import encode_speech

MIN_SECONDS = 0.05  # whole frames for one token, one embedding and the reflected ends of the mel


@dataclass(frozen=True)
class Prompt:
    """What a recording contributes to synthesis, on the host."""

    speech_tokens: np.ndarray  # int32 (L,), 25 Hz
    mel: np.ndarray  # float32 (2 L, 80), 50 Hz, natural log amplitude
    speaker_embedding: np.ndarray  # float32 (192,), not normalised

    @cached_property
    def digest(self) -> str:
        """What this voice is known by among others."""
        whole = hashlib.sha256()
        for part in (self.speech_tokens, self.mel, self.speaker_embedding):
            whole.update(np.ascontiguousarray(part).tobytes())
        return whole.hexdigest()


def encode_prompt(
    recording: str | Path | Waveform,
    tokenizer_params: dict,
    speaker_params: dict,
    config: ModelConfig,
) -> Prompt:
    """Prompt of an audio file, or of samples float (S,) and their rate in Hz.

    Tokens and mel are cut to the same duration, two mel frames a token. CosyError where the recording is not 0.05 s to
    30 s of at least 16 kHz. Reference: cosyvoice/cli/frontend.py, frontend_zero_shot.
    """
    samples, rate = load_audio(recording) if isinstance(recording, str | Path) else recording
    samples = check_audio(samples, rate)
    if len(samples) < MIN_SECONDS * rate:
        raise CosyError(
            f"The recording is {len(samples) / rate:.3f} s long, too short for one speech token: use a few seconds."
        )
    wav = resample(samples, rate, RATE)
    tokens = speech_tokens(wav, tokenizer_params, config)
    embedding = batch_speaker_embeddings([speaker_features(wav, config)], speaker_params, config)[0]
    mel = mel_spectrogram(resample(samples, rate, config.sample_rate), config.prompt_mel, config.sample_rate)
    ratio = config.flow.token_mel_ratio
    length = min(len(mel) // ratio, len(tokens))
    return Prompt(tokens[:length], mel[: ratio * length], embedding)


def speech_tokens(wav: np.ndarray, params: dict, config: ModelConfig) -> np.ndarray:
    """Speech tokens int32 (L,), 25 Hz, of samples float32 (S,) at 16 kHz, at most 30 s of them."""
    return batch_speech_tokens([whisper_log_mel(wav, config.speech_tokenizer.mel_bands)], params, config)[0]


def batch_speech_tokens(log_mels: Sequence[np.ndarray], params: dict, config: ModelConfig) -> list[np.ndarray]:
    """Speech tokens int32 (L,) of each of several whisper log-mels (T, M), which are padded to one length."""
    ids, lengths = map(
        np.asarray, encode_speech(params, config.speech_tokenizer, *pad_features(log_mels, TOKENIZER_FRAMES))
    )
    return [row[:length] for row, length in zip(ids, lengths, strict=True)]


def speaker_features(wav: np.ndarray, config: ModelConfig) -> np.ndarray:
    """What the speaker encoder takes of samples float32 (S,) at 16 kHz: fbank (T, M) without its mean over time."""
    fbank = kaldi_fbank(wav, config.speaker_encoder.feature_bands)
    return fbank - fbank.mean(axis=0)


def batch_speaker_embeddings(features: Sequence[np.ndarray], params: dict, config: ModelConfig) -> np.ndarray:
    """Speaker embeddings float32 (B, 192) of `speaker_features` (T, M), which are padded to one length."""
    return np.asarray(embed_speaker(params, config.speaker_encoder, *pad_features(features, SPEAKER_FRAMES)))


def pad_features(features: Sequence[np.ndarray], multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, M) each -> a batch, zero padded to the next multiple of the longest (B, T', M), and each T (B,)."""
    lengths = [len(row) for row in features]
    longest = -(-max(lengths) // multiple) * multiple
    batch = np.stack([np.pad(row, ((0, longest - len(row)), (0, 0))) for row in features])
    return batch, np.asarray(lengths, np.int32)
