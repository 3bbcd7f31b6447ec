"""Speech for text that arrives in pieces: the reference's interleaved decoding, by arg max."""

from collections.abc import Iterator
from typing import Any

import torch

from .end_of_prompt import marked
from .inputs import Inputs
from .report import SPEECH_IDS

NOTE = (
    "bi-streaming: the reference's interleaved decoding; each id is the arg max over the speech ids [0, 6561), except "
    "that sampling call number stop_at_call returns the end id 6562; fill tokens 6564 are forced by position and are "
    "not in speech_tokens"
)
_PROMPT_IDS = 33
_CALLS_AFTER_TEXT = 20


class _Likeliest:
    """The sampling rule: arg max, and the end id some calls after `text_ended` was set."""

    def __init__(self, end_id: int) -> None:
        self.calls = 0
        self.text_ended = False
        self._left = _CALLS_AFTER_TEXT
        self._end_id = end_id

    def __call__(self, scores: torch.Tensor, decoded: list[int], sampling: int) -> int:
        self.calls += 1
        self._left -= self.text_ended
        return self._end_id if self._left == 0 else int(scores[:SPEECH_IDS].argmax())


def bistream_cases(model: torch.nn.Module, inputs: Inputs, device: str) -> dict[str, dict[str, Any]]:
    """The first segment in three pieces, after a short speech prompt and after none."""
    speech = inputs.prompt.speech[:, :_PROMPT_IDS]
    prompts = {"zero_shot": speech, "no_speech_prompt": speech[:, :0]}
    return {name: _case(model, inputs, speech, device) for name, speech in prompts.items()}


def _case(model: torch.nn.Module, inputs: Inputs, speech: torch.Tensor, device: str) -> dict[str, Any]:
    text = inputs.segments[0]
    pieces = [piece for piece in (text[:, :3], text[:, 3:4], text[:, 4:]) if piece.shape[1]]
    rule = _Likeliest(model.eos_token)

    def arriving() -> Iterator[torch.Tensor]:
        yield from (piece.to(device) for piece in pieces)
        rule.text_ended = True

    parts = [part.to(device) for part in (marked(inputs.prompt.text, inputs.end_of_prompt), speech)]
    pairs = [item for part in parts for item in (part, torch.tensor([part.shape[1]], device=device))]
    sampling, model.sampling = model.sampling, rule
    ids = list(model.inference_bistream(arriving(), *pairs, torch.zeros(0, 192)))
    model.sampling = sampling
    return {
        "prompt_text": inputs.prompt.text[0].tolist(),
        "text_pieces": [piece[0].tolist() for piece in pieces],
        "prompt_speech_token": speech[0].tolist(),
        "stop_at_call": rule.calls,
        "speech_tokens": ids,
    }
