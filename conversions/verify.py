"""Runs the two ONNX files of a release and our encoders on the same input: the proof that the conversion is right."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from cosy_jax.checkpoint.reader import load_config, load_params
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError

_RANDOM_FRAMES = (97, 300, 512)  # of 10 ms; the first ends inside a token
_BUCKET = 512
_MIN_TOKEN_AGREEMENT = 0.5  # unrelated networks agree on one token in thousands
_MIN_COSINE = 0.99


@dataclass(frozen=True)
class Verification:
    """How far our encoders agree with the ONNX files."""

    tokens: int  # compared
    token_agreement: float  # share of equal speech tokens
    embedding_cosine: float  # smallest over the inputs
    embedding_error: float  # largest |difference| over the largest |value|


def require_onnxruntime() -> Any:
    """The onnxruntime module; CosyError where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CosyError("Verifying needs onnxruntime: run `pip install onnxruntime`, or convert without it.") from error
    return onnxruntime


def verify_encoders(model_dir: Path, folder: Path, recordings: Sequence[Path] = ()) -> Verification:
    """Compares `speech_tokenizer_v3.onnx` and `campplus.onnx` of `model_dir` with the conversion in `folder`.

    The inputs are random features of three lengths and the features of the recordings. CosyError where onnxruntime is
    missing, cannot run a file, or the networks are plainly different.
    """
    config = load_config(folder)
    mels, fbanks = _random_features(config)
    for recording in recordings:
        mel, fbank = _recorded_features(recording, config)
        mels.append(mel)
        fbanks.append(fbank)
    equal, tokens = _compare_tokens(model_dir / "speech_tokenizer_v3.onnx", folder, config, mels)
    cosine, error = _compare_embeddings(model_dir / "campplus.onnx", folder, config, fbanks)
    if equal < _MIN_TOKEN_AGREEMENT * tokens or cosine < _MIN_COSINE:
        figures = f"{equal} of {tokens} speech tokens equal, speaker cosine {cosine:.3f}"
        raise CosyError(f"Our encoders differ from the ONNX files of {model_dir} ({figures}): report this as a bug.")
    return Verification(tokens, equal / tokens, cosine, error)


def _compare_tokens(path: Path, folder: Path, config: ModelConfig, mels: list[np.ndarray]) -> tuple[int, int]:
    """Equal speech tokens, and how many were compared. mels float32 (T, 128)."""
    from cosy_jax.prompt.speech_tokenizer import encode_speech

    session = _open_session(path)
    params = load_params(folder, "speech_tokenizer")
    equal = tokens = 0
    for mel in mels:
        lengths = np.array([len(mel)], np.int32)
        theirs = _run(session, path, (mel.T[None], lengths))[0]
        ids, count = encode_speech(params, config.speech_tokenizer, _pad(mel), jnp.asarray(lengths))
        ours = np.asarray(ids)[0, : int(count[0])]
        shared = min(len(ours), len(theirs))
        equal += int(np.sum(ours[:shared] == theirs[:shared]))
        tokens += max(len(ours), len(theirs))
    return equal, tokens


def _compare_embeddings(path: Path, folder: Path, config: ModelConfig, fbanks: list[np.ndarray]) -> tuple[float, float]:
    """Smallest cosine and largest relative difference of the embeddings. fbanks float32 (T, 80)."""
    from cosy_jax.prompt.speaker_encoder import embed_speaker

    session = _open_session(path)
    params = load_params(folder, "speaker_encoder")
    cosines, errors = [], []
    for fbank in fbanks:
        theirs = _run(session, path, (fbank[None],))[0].astype(np.float64)
        length = jnp.array([len(fbank)], jnp.int32)
        embedding = embed_speaker(params, config.speaker_encoder, _pad(fbank), length)
        ours = np.asarray(embedding, np.float64)[0]
        cosines.append(float(ours @ theirs / (np.linalg.norm(ours) * np.linalg.norm(theirs))))
        errors.append(float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
    return min(cosines), max(errors)


def _pad(features: np.ndarray) -> jnp.ndarray:
    """(T, M) -> a batch of one (1, T', M), padded so that few lengths need a program of their own."""
    return jnp.asarray(np.pad(features, ((0, -len(features) % _BUCKET), (0, 0))))[None]


def _open_session(path: Path) -> Any:
    onnxruntime = require_onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class of its own for each fault
        raise CosyError(f"onnxruntime cannot open {path} ({error}): convert without verifying.") from error


def _run(session: Any, path: Path, inputs: Sequence[np.ndarray]) -> np.ndarray:
    """The graph's first output for its inputs in order."""
    names = [node.name for node in session.get_inputs()]
    try:
        return session.run(None, dict(zip(names, inputs, strict=True)))[0]
    except Exception as error:  # as above
        raise CosyError(f"onnxruntime cannot run {path} ({error}): convert without verifying.") from error


def _random_features(config: ModelConfig) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)

    def noise(frames: int, bands: int) -> np.ndarray:
        return rng.standard_normal((frames, bands), dtype=np.float32)

    mels = [noise(frames, config.speech_tokenizer.mel_bands) for frames in _RANDOM_FRAMES]
    fbanks = [noise(frames, config.speaker_encoder.feature_bands) for frames in _RANDOM_FRAMES]
    return mels, fbanks


def _recorded_features(path: Path, config: ModelConfig) -> tuple[np.ndarray, np.ndarray]:
    """Log-mel (T, 128) and mean-free filter bank (T', 80) of a recording."""
    from cosy_jax.audio.read import load_audio
    from cosy_jax.audio.resample import resample
    from cosy_jax.prompt.features import RATE, kaldi_fbank, whisper_log_mel

    samples, rate = load_audio(path)
    wav = resample(samples, rate, RATE)
    fbank = kaldi_fbank(wav, config.speaker_encoder.feature_bands)
    return whisper_log_mel(wav, config.speech_tokenizer.mel_bands), fbank - fbank.mean(axis=0)
