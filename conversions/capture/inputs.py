"""What the stages are given.

L text tokens, S speech tokens of the prompt.
"""

from typing import NamedTuple

import torch


class Prompt(NamedTuple):
    """Text (1, L) and speech (1, S) ids, mel (1, 2 S, 80), speaker embedding (1, 192)."""

    text: torch.Tensor
    speech: torch.Tensor
    mel: torch.Tensor
    embedding: torch.Tensor


class Inputs(NamedTuple):
    """The prompt, each segment's text ids (1, L), and the tokenizer's id of <|endofprompt|>."""

    prompt: Prompt
    segments: list[torch.Tensor]
    end_of_prompt: int
