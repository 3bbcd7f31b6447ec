"""The ways of speaking: what each puts in front of the text in the language model.

Reference: cosyvoice/cli/frontend.py, frontend_zero_shot, frontend_cross_lingual, frontend_instruct2.
"""

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voice import Voice
from cosy_jax.text.check import SYSTEM_PREFIX, with_instruction, with_prefix
from cosy_jax.text.special_tokens import END_OF_PROMPT

MODES = ("zero-shot", "cross-lingual", "instruct")


def default_mode(instruct: str | None) -> str:
    """The mode where none is asked for: an instruction is there to be obeyed, else the voice is continued."""
    return "instruct" if instruct is not None else "zero-shot"


def check_mode(mode: str, instruct: str) -> None:
    """CosyError for an unknown mode, and for one that does not go with its instruction."""
    if mode not in MODES:
        raise CosyError(f"Unknown mode '{mode}': choose one of {', '.join(MODES)}.", "mode")
    if (mode == "instruct") != bool(instruct.strip()):
        raise CosyError("An instruction belongs to mode instruct, which needs one: give both or neither.", "instruct")
    if END_OF_PROMPT in instruct:
        raise CosyError(f"The instruction holds {END_OF_PROMPT}, which is added behind it: leave it out.", "instruct")


def check_transcript(mode: str, transcript: str, saved: bool = False) -> None:
    """CosyError where the mode needs to know what is said in the recording, or in the saved voice, and does not."""
    if mode != "zero-shot" or transcript.strip():
        return
    if saved:
        raise CosyError(
            "The voice has no transcript, which mode zero-shot needs: save it with one, or use cross-lingual.", "voice"
        )
    raise CosyError(
        "Mode zero-shot needs what is said in the recording: give its transcript, or use cross-lingual.", "transcript"
    )


def lm_context(mode: str, voice: Voice, instruct: str = "", text: str = "") -> tuple[str, np.ndarray]:
    """The text in front of `text`, the one to speak, and the speech tokens behind it, int32 (L,).

    Only zero-shot continues the recording; the other modes take the voice from the flow alone. A cross-lingual text
    may bring its own prefix, up to `<|endofprompt|>`, as the reference asks for: then nothing is put in front.
    CosyError for a mode without what it needs.
    """
    check_mode(mode, instruct)
    check_transcript(mode, voice.transcript)
    nothing = np.zeros(0, np.int32)
    if mode == "zero-shot":
        return with_prefix(voice.transcript)[0], voice.prompt.speech_tokens
    if mode == "cross-lingual":
        return "" if END_OF_PROMPT in text else SYSTEM_PREFIX, nothing
    return with_instruction(instruct), nothing
