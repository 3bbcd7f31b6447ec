"""What the stages hand to each other: a line of the manifest as it becomes audio, or fails.

S samples, T frames, L speech tokens. A message is never changed, nor is an array once it is in one: it is read-only
from there on. Messages are compared by identity.
"""

from dataclasses import dataclass

import numpy as np

from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.manifest import Line
from cosy_jax.llm.context import Context
from cosy_jax.synthesis.voice import Voice


@dataclass(frozen=True, eq=False)
class Utterance:
    """A line that can be spoken, and what is the same for all its parts."""

    line: Line
    voice: Voice
    parts: int  # how many contexts it was cut into, at least one
    text_tokens: int
    seconds: float  # wall time of its preparation


@dataclass(frozen=True, eq=False)
class Part:
    """What of an utterance is spoken at a time, to be decoded."""

    utterance: Utterance
    index: int  # from 0
    context: Context


@dataclass(frozen=True, eq=False)
class DecodedPart:
    """A part as speech tokens."""

    part: Part
    tokens: np.ndarray  # int32 (L,), silence capped
    fallbacks: int  # draws repeated by the repetition rule
    seconds: float  # wall time in its row of the language model

    def __post_init__(self) -> None:
        self.tokens.setflags(write=False)


@dataclass(frozen=True, eq=False)
class MelPart:
    """A decoded part as mel."""

    decoded: DecodedPart
    mel: np.ndarray  # float32 (T, 80), at the speed of its line
    seconds: float  # wall time of its batch in the flow

    def __post_init__(self) -> None:
        self.mel.setflags(write=False)

    @property
    def part(self) -> Part:
        """What was asked for."""
        return self.decoded.part


@dataclass(frozen=True, eq=False)
class AudioPart:
    """A part as audio."""

    source: MelPart
    audio: np.ndarray  # float32 (S,)
    seconds: float  # wall time of its batch in the vocoder

    def __post_init__(self) -> None:
        self.audio.setflags(write=False)

    @property
    def part(self) -> Part:
        """What was asked for."""
        return self.source.part


@dataclass(frozen=True, eq=False)
class FailedPart:
    """A part that came to nothing in one of the stages."""

    part: Part
    error: str  # one sentence


@dataclass(frozen=True, eq=False)
class Spoken:
    """A line whose parts have all become audio."""

    outcome: Outcome  # without an error
    audio: np.ndarray  # float32 (S,), the parts joined

    def __post_init__(self) -> None:
        self.audio.setflags(write=False)


@dataclass(frozen=True, eq=False)
class Failed:
    """A line that is not spoken."""

    outcome: Outcome  # with an error


Finished = Spoken | Failed
