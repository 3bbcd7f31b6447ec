"""The ways of speaking: what each puts in front of the text in the language model.

Reference: cosyvoice/cli/frontend.py, frontend_zero_shot, frontend_cross_lingual, frontend_instruct2.
"""

from dataclasses import dataclass

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.prompt.prompt import Prompt
from cosy_jax.text.prompt_text import SYSTEM_PREFIX, with_prefix
from cosy_jax.text.special_tokens import END_OF_PROMPT

MODES = ("zero-shot", "cross-lingual", "instruct")


@dataclass(frozen=True)
class Voice:
    """A recorded voice: what its recording contributes and what is said in it ("" where that is not known)."""

    prompt: Prompt
    transcript: str = ""


def lm_context(mode: str, voice: Voice, instruct: str = "") -> tuple[str, np.ndarray]:
    """The text in front of the one to speak, and the speech tokens behind it, int32 (L,).

    Only zero-shot continues the recording; the other modes take the voice from the flow alone. CosyError for a mode
    without what it needs.
    """
    nothing = np.zeros(0, np.int32)
    if mode not in MODES:
        raise CosyError(f"Unknown mode '{mode}': choose one of {', '.join(MODES)}.")
    if (mode == "instruct") != bool(instruct.strip()):
        raise CosyError("An instruction belongs to mode instruct, which needs one: give both or neither.")
    if mode == "zero-shot":
        if not voice.transcript.strip():
            raise CosyError("Mode zero-shot needs what is said in the recording: give it, or use mode cross-lingual.")
        return with_prefix(voice.transcript)[0], voice.prompt.speech_tokens
    if mode == "cross-lingual":
        return SYSTEM_PREFIX, nothing
    if END_OF_PROMPT in instruct:
        raise CosyError(f"The instruction holds {END_OF_PROMPT}, which is added behind it: leave it out.")
    return f"{SYSTEM_PREFIX.removesuffix(END_OF_PROMPT)} {instruct.strip()}{END_OF_PROMPT}", nothing
