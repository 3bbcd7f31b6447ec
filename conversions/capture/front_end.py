"""The reference's front end: text to segments and ids, a recording to prompt features."""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import torch

from .errors import CaptureError
from .folders import PRETRAINED
from .inputs import Prompt
from .loading import build
from .packages import FRONT_END, missing

_MODELS = ("campplus.onnx", "speech_tokenizer_v3.onnx")
_SECONDS = 30  # more the reference refuses
_MEL_RATE, _TOKEN_RATE = 24000, 16000


class Features(NamedTuple):
    """A recording's waveforms (1, samples), mels as their own functions give them, all its ids and its embedding."""

    wav_16k: torch.Tensor
    wav_24k: torch.Tensor
    whisper_log_mel_128: torch.Tensor
    kaldi_fbank_80: torch.Tensor
    mel_24k: torch.Tensor
    tokens: torch.Tensor
    embedding: torch.Tensor


def lacking(model: Path) -> str:
    """What the front end cannot do without and does not find; empty where it can be built."""
    if absent := missing(FRONT_END):
        return f"not installed: {', '.join(absent)}"
    absent = [name for name in _MODELS if not (model / name).is_file()]
    if absent or not has_tokenizer(model):
        return f"{model} lacks {', '.join(absent) or 'the tokenizer files'}"
    return ""


def has_tokenizer(model: Path) -> bool:
    """Whether the folder holds a vocabulary."""
    return any((model / PRETRAINED / name).is_file() for name in ("vocab.json", "tokenizer.json"))


def load_tokenizer(model: Path) -> Any:
    """The reference's tokenizer."""
    return build(model, "get_tokenizer")["get_tokenizer"]()


def load_front_end(model: Path) -> Any:
    """The reference's CosyVoiceFrontEnd, on the CPU whatever the machine has."""
    from cosyvoice.cli.frontend import CosyVoiceFrontEnd

    built = build(model, "get_tokenizer", "feat_extractor")
    paths = [str(model / name) for name in _MODELS]
    with mock.patch.object(torch.cuda, "is_available", lambda: False):
        return CosyVoiceFrontEnd(
            built["get_tokenizer"], built["feat_extractor"], *paths, allowed_special=built["allowed_special"]
        )


def read_features(front_end: Any, recording: Path) -> Features:
    """What the front end makes of a recording, step by step; CaptureError where it is too long."""
    import torchaudio.compliance.kaldi
    import whisper
    from cosyvoice.cli import frontend

    with _soundfile_reads():
        wav16, wav24 = (frontend.load_wav(str(recording), rate) for rate in (_TOKEN_RATE, _MEL_RATE))
        if wav16.shape[1] > _SECONDS * _TOKEN_RATE:
            raise CaptureError(f"{recording} is longer than {_SECONDS} s, which the reference refuses.")
        tokens, _ = front_end._extract_speech_token(str(recording))
        embedding = front_end._extract_spk_embedding(str(recording))
    fbank = torchaudio.compliance.kaldi.fbank(wav16, num_mel_bins=80, dither=0, sample_frequency=_TOKEN_RATE)
    return Features(
        wav_16k=wav16,
        wav_24k=wav24,
        whisper_log_mel_128=whisper.log_mel_spectrogram(wav16, n_mels=128),
        kaldi_fbank_80=fbank - fbank.mean(dim=0, keepdim=True),
        mel_24k=front_end.feat_extractor(wav24),
        tokens=tokens,
        embedding=embedding,
    )


def as_prompt(front_end: Any, text: str, features: Features) -> Prompt:
    """Mel and ids cut to two frames an id, as the reference's frontend_zero_shot does."""
    count = min(features.mel_24k.shape[2] // 2, features.tokens.shape[1])
    ids, _ = front_end._extract_text_token(text)
    mel = features.mel_24k[:, :, : 2 * count].transpose(1, 2)
    return Prompt(ids, features.tokens[:, :count], mel, features.embedding)


def _soundfile_reads() -> AbstractContextManager:
    """The reference has torchaudio read by soundfile; newer torchaudio wants torchcodec, so soundfile is asked here."""
    if missing(["soundfile"]):
        return nullcontext()
    import soundfile
    import torchaudio

    def load(path: str, backend: str) -> tuple[torch.Tensor, int]:
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        return torch.from_numpy(samples.T.copy()), rate

    return mock.patch.object(torchaudio, "load", load)
