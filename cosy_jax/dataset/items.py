"""What goes into a training set, and what is left out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from cosy_jax.errors import CosyError


class Reason(StrEnum):
    """Why an utterance was left out, as the report says it."""

    BAD_LINE = "its line cannot be read"
    REPEATED = "its key was used before"
    INCOMPLETE = "recording, text or speaker is missing"
    UNSPEAKABLE = "its text is empty or holds nothing to speak"
    LONG_TEXT = "its text is too long"
    UNREADABLE = "its recording cannot be read"
    LOW_RATE = "its recording has a sample rate below 16 kHz"
    SHORT = "its recording is too short"
    LONG = "its recording is too long"
    SILENT = "its recording is silent"
    MISMATCH = "text and recording are not of one length"
    REJECTED = "its rejected recording cannot be used"


@dataclass(frozen=True)
class LeftOut:
    """An utterance that is not taken."""

    place: str  # where it stands in the source, such as "line 3"
    key: str | None  # None where none could be read
    reason: Reason
    error: str  # one sentence


class UnusableError(CosyError):
    """An utterance is left out, for this reason."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class Item:
    """An utterance as its source describes it."""

    place: str
    key: str
    text: str
    instruct: str  # with <|endofprompt|> at its end
    speaker: str
    wav: str  # the recording's name, which is kept beside it
    read: Callable[[], bytes]  # the recording's file; OSError or CosyError where it cannot be read
    # The file of a recording in which the text is said as it should not be, or its tokens; None for neither.
    read_rejected: Callable[[], bytes] | None = None
    rejected_tokens: Sequence[int] | None = None
    labels: Sequence[int] | None = None  # what the speech tokenizer is to learn to tell, one a token or in their order


@dataclass(frozen=True)
class Source:
    """All of what is to be built from."""

    items: list[Item]
    left_out: list[LeftOut]
