"""The id of <|endofprompt|>, which the reference's code names as a number.

A tokenizer with another vocabulary has another id: it is given to the reference as the number it expects, and looked
up as its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

END_OF_PROMPT = 151646


def marked(ids: torch.Tensor, own: int) -> torch.Tensor:
    """The ids with the reference's number in the place of the tokenizer's own."""
    return ids.where(ids != own, END_OF_PROMPT)


@contextmanager
def looked_up_as(model: torch.nn.Module, own: int) -> Iterator[None]:
    """While this lasts, the language model embeds the reference's number as the tokenizer's own id."""

    def replace(module: torch.nn.Module, args: tuple[torch.Tensor]) -> tuple[torch.Tensor]:
        return (args[0].where(args[0] != END_OF_PROMPT, own),)

    hook = model.llm.model.model.embed_tokens.register_forward_pre_hook(replace)
    try:
        yield
    finally:
        hook.remove()
