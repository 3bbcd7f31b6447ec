"""The reference's serving class: silences cut, audio in pieces and in one go."""

import logging
from collections.abc import Iterator
from typing import Any

import torch

from .inputs import Inputs
from .loading import load_flow_and_vocoder
from .options import Options
from .precision import half_precision, keep_rotary_exact
from .writing import Writer

_log = logging.getLogger("capture")
_NOTE = (
    "chunk_i: audio pieces in order, hop 25 then 50 then 100 tokens, first hop lengthened so that prompt + hop is a "
    "multiple of 25; the last piece is computed with full (not chunked) attention. offline_audio: the same tokens in "
    "one go."
)


class _Given:
    """A language model that says these ids."""

    def __init__(self, ids: list[int]) -> None:
        self._ids = ids

    def inference(self, **inputs: object) -> Iterator[int]:
        return iter(self._ids)


def cap_silence(ids: list[int]) -> list[int]:
    """The ids that the reference's serving class passes on to the flow: of long silences the rest is dropped."""
    model = _serving_class()(_Given(ids), None, None)
    model.device = torch.device("cpu")
    model.tts_speech_token_dict["one"] = []
    nothing = torch.zeros(1, 0, dtype=torch.int32)
    model.llm_job(nothing, nothing, nothing, torch.zeros(0, 192), "one")
    return model.tts_speech_token_dict["one"]


def capture_stream(options: Options, inputs: Inputs, tokens: list[int], writer: Writer, device: str) -> None:
    """Writes streaming.safetensors."""
    flow, hift = (part.to(device) for part in load_flow_and_vocoder(options.model))
    keep_rotary_exact(flow.decoder.estimator.rotary_embed)
    inference = flow.inference

    def halved(**arguments: Any) -> Any:
        with half_precision(device, options.dtype):
            return inference(**arguments)

    flow.inference = halved
    prompt = inputs.prompt
    ids = torch.tensor([tokens], dtype=torch.int32)

    def speak(stream: bool) -> list[torch.Tensor]:
        _log.info("stream: %s speech ids %s", len(tokens), "in pieces" if stream else "in one go")
        model = _serving_class()(None, flow, hift)  # a new one each time: it keeps its hop
        model.device = torch.device(device)
        pieces = model.tts(
            flow_embedding=prompt.embedding,
            flow_prompt_speech_token=prompt.speech,
            prompt_speech_feat=prompt.mel,
            source_speech_token=ids,
            stream=stream,
        )
        return [piece["tts_speech"] for piece in pieces]

    dump = {
        **{f"chunk_{number}": audio for number, audio in enumerate(speak(stream=True))},
        "offline_audio": speak(stream=False)[0],
        "speech_token": ids,
        "prompt_token": prompt.speech.to(torch.int32),
        "prompt_feat": prompt.mel,
        "embedding": prompt.embedding,
    }
    writer.tensors("streaming", dump, note=_NOTE, device=device, dtype=options.dtype)


def _serving_class() -> Any:
    from cosyvoice.cli.model import CosyVoice3Model

    return CosyVoice3Model
