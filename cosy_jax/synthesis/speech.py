"""What comes of a request, and how long each stage took."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.synthesis.stage import Stage

OnStage = Callable[[Stage], None]
OnPart = Callable[[int, int], None]  # parts of the utterance that the stage is done with, and how many there are
T = TypeVar("T")


@dataclass(frozen=True)
class Speech:
    """One spoken utterance."""

    audio: np.ndarray  # float32 (S,), in [-0.99, 0.99]
    sample_rate: int  # Hz
    tokens: np.ndarray  # int32 (L,), 25 Hz, silence capped
    mel: np.ndarray  # float32 (T, 80), log amplitude, T = 2 L / speed
    fallbacks: int  # draws repeated by the repetition rule
    seconds: dict[Stage, float] = field(default_factory=dict)  # wall time a stage

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / self.sample_rate


class NotFiniteError(CosyError):
    """A stage gave values that are no numbers. Written to a file they would be a constant, without a word."""


def finite(values: np.ndarray, stage: Stage) -> np.ndarray:
    """What a stage gave, a mel (T, M) or samples (S,), where all of it is finite; else `NotFiniteError`."""
    if not np.isfinite(values).all():
        raise NotFiniteError(
            f"The {stage} gave NaN or infinite values: speak in another voice, compute in float32, or check the "
            "weights with `cosy-jax info --verify`."
        )
    return values


class Stopwatch:
    """Names each stage as it starts, and each part in it, and keeps the stage's wall time."""

    def __init__(self, on_stage: OnStage | None, on_part: OnPart | None = None) -> None:
        self.on_stage, self.on_part = on_stage, on_part
        self.seconds: dict[Stage, float] = {}

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Times the block as this stage."""
        if self.on_stage:
            self.on_stage(stage)
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start

    def each(self, parts: Sequence[T]) -> Iterator[T]:
        """The parts that the stage takes one after the other."""
        for done, part in enumerate(parts):
            if self.on_part:
                self.on_part(done, len(parts))
            yield part
