"""The ways of speaking: what each puts in front of the text in the language model.

Reference: cosyvoice/cli/frontend.py, frontend_zero_shot, frontend_cross_lingual, frontend_instruct2.
"""

from dataclasses import dataclass

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt
from cosy_jax.text.check import SYSTEM_PREFIX, with_prefix
from cosy_jax.text.special_tokens import END_OF_PROMPT

MODES = ("zero-shot", "cross-lingual", "instruct")


@dataclass(frozen=True)
class Voice:
    """A recorded voice: what its recording contributes and what is said in it ("" where that is not known)."""

    prompt: Prompt
    transcript: str = ""


def check_mode(mode: str, transcript: str, instruct: str = "") -> None:
    """CosyError for a mode without what it needs; `transcript` is what is said in the recording, if known."""
    if mode not in MODES:
        raise CosyError(f"Unknown mode '{mode}': choose one of {', '.join(MODES)}.")
    if (mode == "instruct") != bool(instruct.strip()):
        raise CosyError("An instruction belongs to mode instruct, which needs one: give both or neither.")
    if mode == "zero-shot" and not transcript.strip():
        raise CosyError(
            "Mode zero-shot needs what is said in the recording (--prompt-text): give it, or use cross-lingual."
        )
    if END_OF_PROMPT in instruct:
        raise CosyError(f"The instruction holds {END_OF_PROMPT}, which is added behind it: leave it out.")


def lm_context(mode: str, voice: Voice, instruct: str = "", text: str = "") -> tuple[str, np.ndarray]:
    """The text in front of `text`, the one to speak, and the speech tokens behind it, int32 (L,).

    Only zero-shot continues the recording; the other modes take the voice from the flow alone. A cross-lingual text
    may bring its own prefix, up to `<|endofprompt|>`, as the reference asks for: then nothing is put in front.
    CosyError for a mode without what it needs.
    """
    check_mode(mode, voice.transcript, instruct)
    nothing = np.zeros(0, np.int32)
    if mode == "zero-shot":
        return with_prefix(voice.transcript)[0], voice.prompt.speech_tokens
    if mode == "cross-lingual":
        return "" if END_OF_PROMPT in text else SYSTEM_PREFIX, nothing
    return f"{SYSTEM_PREFIX.removesuffix(END_OF_PROMPT)} {instruct.strip()}{END_OF_PROMPT}", nothing
