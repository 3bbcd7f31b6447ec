"""Checks on the two texts of a request: the prompt's transcript and the text to speak."""

import re
import unicodedata
from collections.abc import Iterable, Iterator

from cosy_jax.errors import CosyError
from cosy_jax.text.special_tokens import CONTROL_TOKENS, END_OF_PROMPT

# The model was trained with this in front of every transcript; without it, it repeats or leaks the prompt.
SYSTEM_PREFIX = f"You are a helpful assistant.{END_OF_PROMPT}"

_CONTROL = re.compile("|".join([r"<\|[^<>|]*\|>", *map(re.escape, CONTROL_TOKENS)]))


def with_prefix(transcript: str) -> tuple[str, bool]:
    """The transcript with `SYSTEM_PREFIX` in front, unless it holds `<|endofprompt|>`; and whether it was added."""
    if END_OF_PROMPT in transcript:
        return transcript, False
    return SYSTEM_PREFIX + transcript, True


def with_instruction(instruct: str) -> str:
    """What stands in front of a text that is to be spoken as the instruction says."""
    return f"{SYSTEM_PREFIX.removesuffix(END_OF_PROMPT)} {instruct.strip()}{END_OF_PROMPT}"


def has_speakable(text: str) -> bool:
    """True when a letter or digit of any script is left to speak.

    Control tokens (`[laughter]`, `<|...|>`) do not count, nor does an instruction, which is what comes before
    `<|endofprompt|>`. Phoneme and pinyin tokens (`[AA0]`, `[j][ǐ]`) do count.
    """
    return any(unicodedata.category(char)[0] in "LN" for char in spoken_part(text))


def spoken_part(text: str) -> str:
    """The text without what `has_speakable` leaves out."""
    return _CONTROL.sub(" ", text.rpartition(END_OF_PROMPT)[2])


def speaking_seconds(text: str) -> float:
    """How long it takes, roughly, to say a text at an even pace, with what `has_speakable` leaves out left out: 15
    letters a second, five syllables of a script that writes those."""
    letters = [char for char in spoken_part(text) if unicodedata.category(char)[0] in "LN"]
    syllables = sum(unicodedata.east_asian_width(char) == "W" or char.isdigit() for char in letters)
    return syllables / 5 + (len(letters) - syllables) / 15


def check_text(text: str) -> None:
    """Raises CosyError when the text to synthesise is empty or holds nothing that can be spoken."""
    if not text.strip():
        raise CosyError("The text to synthesise is empty: pass at least one word.", "text")
    if not has_speakable(text):
        raise CosyError(
            f"The text {_shortened(text)!r} holds no letter or digit to speak: add at least one word.", "text"
        )


def speakable(pieces: Iterable[str]) -> Iterator[str]:
    """The pieces of a text that arrives, as they come but none before there is something to speak; CosyError as
    `check_text` where there never is."""
    pieces = iter(pieces)
    held: list[str] = []
    for piece in pieces:
        held.append(piece)
        if has_speakable("".join(held)):
            yield from held
            yield from pieces
            return
    check_text("".join(held))


def _shortened(text: str, limit: int = 40) -> str:
    return text if len(text) <= limit else text[:limit] + "..."
