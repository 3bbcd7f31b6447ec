"""A recording as the model wants it: speech tokens, mel and speaker embedding.

S samples, T frames, L speech tokens, M mel bands.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import Waveform, check_audio, load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn import buckets
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
    embedding = _speaker_embedding(wav, speaker_params, config)
    mel = mel_spectrogram(resample(samples, rate, config.sample_rate), config.prompt_mel, config.sample_rate)
    ratio = config.flow.token_mel_ratio
    length = min(len(mel) // ratio, len(tokens))
    return Prompt(tokens[:length], mel[: ratio * length], embedding)


def speech_tokens(wav: np.ndarray, params: dict, config: ModelConfig) -> np.ndarray:
    """Speech tokens int32 (L,), 25 Hz, of samples float32 (S,) at 16 kHz, at most 30 s of them."""
    mel, lengths = _pad(whisper_log_mel(wav, config.speech_tokenizer.mel_bands), buckets.TOKENIZER_FRAMES)
    ids, id_lengths = encode_speech(params, config.speech_tokenizer, mel, lengths)
    return np.asarray(ids)[0, : int(id_lengths[0])]


def _speaker_embedding(wav: np.ndarray, params: dict, config: ModelConfig) -> np.ndarray:
    fbank = kaldi_fbank(wav, config.speaker_encoder.feature_bands)
    features, lengths = _pad(fbank - fbank.mean(axis=0), buckets.SPEAKER_FRAMES)
    return np.asarray(embed_speaker(params, config.speaker_encoder, features, lengths))[0]


def _pad(features: np.ndarray, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """(T, M) -> a batch of one, zero padded to the next multiple (1, T', M), and T (1,)."""
    length = len(features)
    return np.pad(features, ((0, -length % multiple), (0, 0)))[None], np.asarray([length], np.int32)
