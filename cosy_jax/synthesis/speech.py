"""What comes of a request, and how long each stage took."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
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
    """One spoken utterance, or a segment of a long one."""

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


def joined(segments: Iterable[Speech]) -> Speech:
    """One or more segments, one after the other; seconds and draws added up."""
    parts = list(segments)
    stages = dict.fromkeys(stage for part in parts for stage in part.seconds)
    return Speech(
        np.concatenate([part.audio for part in parts]),
        parts[0].sample_rate,
        np.concatenate([part.tokens for part in parts]),
        np.concatenate([part.mel for part in parts]),
        sum(part.fallbacks for part in parts),
        {stage: sum(part.seconds.get(stage, 0.0) for part in parts) for stage in stages},
    )


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
    """Names each stage as it starts, and each part in it, and adds up the stage's wall time."""

    def __init__(self, on_stage: OnStage | None, on_part: OnPart | None = None) -> None:
        self._on_stage, self._on_part = on_stage, on_part
        self._seconds = defaultdict[Stage, float](float)

    @contextmanager
    def __call__(self, stage: Stage) -> Iterator[None]:
        """Times the block as this stage."""
        if self._on_stage:
            self._on_stage(stage)
        start = time.perf_counter()
        yield
        self._seconds[stage] += time.perf_counter() - start

    def part(self, done: int, parts: int) -> None:
        """Tells that the running stage comes to its next part."""
        if self._on_part:
            self._on_part(done, parts)

    def each(self, parts: Sequence[T]) -> Iterator[T]:
        """The parts that the stage takes one after the other."""
        for done, part in enumerate(parts):
            self.part(done, len(parts))
            yield part

    def taken(self) -> dict[Stage, float]:
        """Seconds of each stage since this was asked before."""
        seconds = dict(self._seconds)
        self._seconds.clear()
        return seconds
