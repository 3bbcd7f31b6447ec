"""The rules by which ids are drawn, recorded.

V speech vocabulary.
"""

from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import torch

from .errors import CaptureError
from .report import SPEECH_IDS

Rule = Callable[[torch.Tensor, list[int], int], int]
_multinomial = torch.Tensor.multinomial


class Draw(NamedTuple):
    """One step: the id, q over the nucleus's candidates, and q over all ids (V,) where the id was drawn anew."""

    token: int
    nucleus: torch.Tensor
    full: torch.Tensor | None


class Recorder:
    """The reference's sampling rule; keeps the Exp(1) draws behind each id.

    torch draws one id as arg max of p / q with q ~ Exp(1). Here the reference's own draw is taken, then the generator
    is set back and q drawn again; that both give the same id is checked at every draw.
    """

    def __init__(self, rule: Rule) -> None:
        self.steps: list[Draw] = []
        self._rule = rule

    def __call__(self, scores: torch.Tensor, decoded: list[int], sampling: int) -> int:
        noise: list[torch.Tensor] = []

        def multinomial(p: torch.Tensor, count: int, replacement: bool) -> torch.Tensor:
            drawn, q = _draw(p, count, replacement)
            noise.append(q.float().cpu())
            return drawn

        with mock.patch.object(torch.Tensor, "multinomial", multinomial):
            token = self._rule(scores, decoded, sampling)
        self.steps.append(Draw(token, noise[0], noise[1] if len(noise) > 1 else None))
        return token


def greedy(scores: torch.Tensor, decoded: list[int], sampling: int) -> int:
    """The likeliest speech id; never a stop id."""
    return int(scores[:SPEECH_IDS].argmax())


def _draw(p: torch.Tensor, count: int, replacement: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.cuda.default_generators[p.device.index] if p.is_cuda else torch.default_generator
    before = generator.get_state()
    drawn = _multinomial(p, count, replacement=replacement)
    generator.set_state(before)
    q = torch.empty_like(p).exponential_(1)
    if int((p / q).argmax()) != int(drawn):
        raise CaptureError(f"torch {torch.__version__} does not draw ids as arg max of p / q; use torch 2.3 to 2.13.")
    return drawn, q
