"""A request as rows of ids that the language model goes on from."""

import jax

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.bistream import BistreamContext
from cosy_jax.llm.context import Context
from cosy_jax.llm.speech_lm import context_row
from cosy_jax.synthesis.modes import lm_context
from cosy_jax.synthesis.request import Request
from cosy_jax.text.special_tokens import END_OF_PROMPT
from cosy_jax.text.split import segment_text
from cosy_jax.text.tokenizer import TextTokenizer


def whole_contexts(request: Request, tokenizer: TextTokenizer, config: ModelConfig) -> list[Context]:
    """The text of a resolved request cut into what is spoken at a time, each with its key: seed, seed + 1, ...

    CosyError for a text of which nothing is left to speak, or that does not fit the voice and the mode.
    """
    text = request.whole_text
    before, speech_ids = lm_context(request.way, request.voice_at_hand, request.instruct or "", text)
    before_ids, sampling = tokenizer.encode(before), config.sampling
    contexts: list[Context] = []
    for index, part in enumerate(segment_text(text, tokenizer, request.normalisation)):
        row = context_row(before_ids + tokenizer.encode(part), speech_ids, config.llm)
        # A prefix that the text brings is not spoken. The reference counts it too.
        length = len(tokenizer.encode(part.rpartition(END_OF_PROMPT)[2]))
        bounds = (int(length * sampling.min_ratio), int(length * sampling.max_ratio))
        contexts.append(Context(row, jax.random.key(request.seed + index), *bounds))
    if not contexts:
        raise CosyError("Nothing of the text is left to speak once it is normalised: add at least one word.", "text")
    return contexts


def arriving_context(request: Request, tokenizer: TextTokenizer) -> BistreamContext:
    """What stands before the text of a resolved request, if it arrives in pieces."""
    before, speech_ids = lm_context(request.way, request.voice_at_hand, request.instruct or "")
    return BistreamContext(tokenizer.encode(before), speech_ids, tokenizer.end_of_prompt_id)
