"""A line of the manifest on its way through the stages."""

from dataclasses import dataclass, field

import numpy as np

from cosy_jax.audio.join import join_audio
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.results import Outcome
from cosy_jax.llm.context import Context
from cosy_jax.synthesis.voice import Voice

Ready = tuple[Outcome, np.ndarray | None]  # what became of a line, and its audio float32 (S,)


@dataclass
class Utterance:
    """A line, what it consists of, and what came of it so far: the parts that are ready, or why one has failed."""

    line: Line
    voice: Voice
    requests: list[Context]
    text_tokens: int
    begun: bool = False  # a part of it is being decoded, or was
    tokens: int = 0
    fallbacks: int = 0
    stages: dict[str, float] = field(default_factory=dict)
    audio: dict[int, np.ndarray] = field(default_factory=dict)
    failed: int = 0
    error: str = ""

    def spend(self, stage: str, seconds: float) -> None:
        """Counts wall seconds in a stage, together with whatever else was in it."""
        self.stages[stage] = self.stages.get(stage, 0.0) + seconds

    def fail(self, error: Exception) -> None:
        """A part came to nothing; the first reason is kept."""
        self.failed += 1
        self.error = self.error or str(error)

    @property
    def complete(self) -> bool:
        """Whether no part of it is on its way any more."""
        return len(self.audio) + self.failed == len(self.requests)

    def ready(self, sample_rate: int) -> Ready:
        """Its outcome; the parts joined."""
        if self.error:
            return Outcome(self.line, stages=self.stages, error=self.error), None
        audio = join_audio([self.audio[index] for index in range(len(self.audio))], sample_rate)
        counts = (self.tokens, self.text_tokens, self.fallbacks)
        return Outcome(self.line, len(audio) / sample_rate, *counts, self.stages), audio


@dataclass
class Part:
    """One request of an utterance, before and while it is decoded."""

    utterance: Utterance
    index: int
    started: float = 0.0  # when it got its row


@dataclass(frozen=True)
class SpokenPart:
    """Its speech tokens int32 (L,), or why there are none."""

    utterance: Utterance
    index: int
    tokens: np.ndarray | Exception


@dataclass(frozen=True)
class MelPart:
    """Its mel float32 (T, 80), of so many speech tokens."""

    utterance: Utterance
    index: int
    tokens: int
    mel: np.ndarray
