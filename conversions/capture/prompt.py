"""The prompt and the text's segments, and the dumps of how they came about."""

import json
import logging
from pathlib import Path
from typing import Any

import torch

from .end_of_prompt import END_OF_PROMPT
from .folders import PRETRAINED
from .front_end import (
    Features,
    as_prompt,
    has_tokenizer,
    lacking,
    load_front_end,
    load_tokenizer,
    read_features,
)
from .inputs import Inputs, Prompt
from .options import MARKER, Options
from .writing import Writer

_log = logging.getLogger("capture")
_SEEDED_SPEECH = 75  # tokens, 3 s
_SPEECH_IDS = 6561
_FEATURES_NOTE = "resampled with torchaudio.transforms.Resample defaults; kaldi_fbank_80 has its time mean removed"
_TOKENIZER_NOTE = "ids of the reference's tokenizer"
_TEXT_NOTE = "reference text front end with wetext, English paragraph lengths counted with this folder's tokenizer"
_TEXTS = (
    "The ferry leaves at noon; bring bread, water and a warm coat, because the wind on the lake is cold.",
    "It cost $3.50 on May 4, 2021, about 12% more than in 1999.",
    "Room 101. Call 911! Is that so? Yes: quite so; it isn't far.",
    "昨天下了一整天的雨，今天早上空气清新，我们打算去山上走走。",
    "2026年11月20日，价格是￥3.50，约占12%。",
    "面积是 25 m²（约），见 `code` —— 完。",
    "你好 world 这是 a test - ok",
)
_MARKED_TEXTS = (
    f"You are a helpful assistant.{MARKER}Good morning.",
    "[breath]Well[laughter], <strong>no</strong>! naïve café.",
    "高管也通过电话[j][ǐ]予好评。",
    "  two  spaces\nand\ttabs\n",
)


def capture_prompt(options: Options, writer: Writer) -> Inputs:
    """What the stages are given; writes the dumps of texts and recording, where everything for them is at hand."""
    reason = lacking(options.model) or ("" if options.prompt_wav else "no recording, see --prompt-wav")
    if reason:
        _log.warning("prompt: %s; its features are left out, the stages get a seeded random prompt", reason)
        return _seeded_inputs(options, writer)
    front_end = load_front_end(options.model)
    assert options.prompt_wav is not None
    features = read_features(front_end, options.prompt_wav)
    segments = front_end.text_normalize(options.text, split=True)
    prompt = as_prompt(front_end, options.prompt_text, features)
    if "prompt" in options.stages:
        _write_tokenizer(options, front_end.tokenizer, writer)
        _write_text_front_end(options, front_end, writer)
        _write_features(features, options.prompt_wav.name, writer)
    ids = [front_end._extract_text_token(segment)[0] for segment in segments]
    return Inputs(prompt, ids, front_end.tokenizer.encode(MARKER)[0])


def _seeded_inputs(options: Options, writer: Writer) -> Inputs:
    """A prompt from a fixed seed, of plausible level; texts by the tokenizer where the folder has one."""
    generator = torch.Generator().manual_seed(0)

    def ids(high: int, count: int) -> torch.Tensor:
        return torch.randint(high, (1, count), generator=generator, dtype=torch.int32)

    if has_tokenizer(options.model):
        tokenizer = load_tokenizer(options.model)
        if "prompt" in options.stages:
            _write_tokenizer(options, tokenizer, writer)
        end = tokenizer.encode(MARKER)[0]
        prompt_text, text = (
            torch.tensor([tokenizer.encode(text)], dtype=torch.int32) for text in (options.prompt_text, options.text)
        )
    else:
        end = min(END_OF_PROMPT, _vocabulary(options.model) - 1)
        prompt_text, text = ids(end, 32), ids(end, 16)
        prompt_text[0, 8] = end
    mel = torch.randn(1, 2 * _SEEDED_SPEECH, 80, generator=generator) * 2 - 6
    speaker = torch.randn(1, 192, generator=generator)
    return Inputs(Prompt(prompt_text, ids(_SPEECH_IDS, _SEEDED_SPEECH), mel, speaker), [text], end)


def _vocabulary(model: Path) -> int:
    config = (model / PRETRAINED / "config.json").read_text(encoding="utf-8")
    return json.loads(config)["vocab_size"]


def _write_tokenizer(options: Options, tokenizer: Any, writer: Writer) -> None:
    texts = (options.prompt_text, options.text, *_TEXTS, *_MARKED_TEXTS)
    cases = [{"text": text, "ids": tokenizer.encode(text)} for text in texts]
    size = len(tokenizer.tokenizer)
    end = tokenizer.encode(MARKER)[0]
    writer.json("tokenizer", {"endofprompt_id": end, "vocab_size": size, "cases": cases, "note": _TOKENIZER_NOTE})


def _write_text_front_end(options: Options, front_end: Any, writer: Writer) -> None:
    if front_end.text_frontend != "wetext":
        _log.warning("prompt: not installed: wetext; text_frontend.json is left out")
        return

    def case(text: str) -> dict[str, Any]:
        split, joined = (front_end.text_normalize(text, split=flag) for flag in (True, False))
        return {"text": text, "split": split, "joined": joined}

    cases = [case(text) for text in (options.text, *_TEXTS)]
    writer.json("text_frontend", {"cases": cases, "note": _TEXT_NOTE})


def _write_features(features: Features, recording: str, writer: Writer) -> None:
    about = {"device": "cpu", "dtype": "float32"}
    found = features._asdict()
    tokens, embedding = found.pop("tokens"), found.pop("embedding")
    writer.tensors("features_0", found, note=_FEATURES_NOTE, wav=recording, **about)
    mel, fbank = features.whisper_log_mel_128, features.kaldi_fbank_80[None]
    speech = {"whisper_log_mel_128": mel, "tokens": tokens.to(torch.int32)}
    writer.tensors("speech_tokenizer", speech, note="all tokens of the prompt recording", **about)
    speaker = {"kaldi_fbank_80": fbank, "embedding": embedding}
    writer.tensors("campplus", speaker, note="speaker embedding of the prompt recording", **about)
