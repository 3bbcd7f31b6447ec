"""A request while it is spoken: its segments, and what the flow and the vocoder have made of each so far."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cosy_jax.config import FlowConfig
from cosy_jax.engine.ticket import Ticket
from cosy_jax.engine.voices import KeptVoice
from cosy_jax.flow.tracks import Step, Track
from cosy_jax.llm.bistream import BistreamContext
from cosy_jax.llm.context import Context
from cosy_jax.llm.silence import cap_run
from cosy_jax.synthesis.streaming import LARGEST, hops
from cosy_jax.synthesis.voice import Voice
from cosy_jax.vocoder.streaming import VocoderState

Source = Context | BistreamContext | np.ndarray  # what speech tokens come from; those of a recording are there


@dataclass(frozen=True)
class Work:
    """A request that is ready to be spoken. `seed`: of arriving text."""

    voice: Voice
    sources: Sequence[Source]
    whole: bool  # not in pieces: full attention over each segment
    speed: float = 1.0
    seed: int = 0  # of arriving text; a context has its own key


class Segment:
    """Speech tokens as they come, silence capped, and the next piece of them."""

    def __init__(self, stream: "Stream", index: int, source: Source, silent: Sequence[int], config: FlowConfig) -> None:
        self.stream, self.index, self.source = stream, index, source
        self._silent, self._config = silent, config
        prompt = stream.work.voice.prompt.speech_tokens
        self.prompt_tokens = len(prompt)
        self.tokens: list[int] = prompt.tolist()
        self._run = 0  # of silent ids
        self._hops = hops(len(prompt), config)
        self._until = len(prompt) + next(self._hops)
        self.ended = self.complete = self.spoken = False  # by the language model, the flow; given to its end
        self.decoding = not isinstance(source, np.ndarray)  # has a row
        self.track: Track | None = None  # once a piece is due
        self.vocoder: VocoderState | None = None
        if isinstance(source, np.ndarray):
            self.tokens += source.tolist()
            self.ended = True

    @property
    def last(self) -> bool:
        """Whether no other segment follows."""
        return self.index == len(self.stream.work.sources) - 1

    @property
    def drawn(self) -> np.ndarray:
        """The new tokens int32 (L,)."""
        return np.asarray(self.tokens[self.prompt_tokens :], np.int32)

    @property
    def drawn_count(self) -> int:
        """How many they are."""
        return len(self.tokens) - self.prompt_tokens

    @property
    def empty(self) -> bool:
        """Whether there is nothing to speak."""
        return self.ended and not self.drawn_count

    @property
    def missing(self) -> int:
        """Tokens that the next piece waits for."""
        return max(self._until + self._config.lookahead - len(self.tokens), 0)

    def take(self, ids: Sequence[int]) -> None:
        kept, self._run = cap_run(ids, self._run, self._silent)
        self.tokens += kept

    def next_step(self) -> Step | None:
        """The piece that could be solved now."""
        if self.track is None or self.complete or (self.missing and not self.ended):
            return None
        ratio = self._config.token_mel_ratio
        largest = self.track.frames // ratio + LARGEST * self._config.chunk_frames // ratio
        until = min(len(self.tokens) if self.missing else self._until, largest)
        last = self.ended and until == len(self.tokens)
        return Step(self.track, np.asarray(self.tokens, np.int32), until, self.stream.work.voice.prompt, last)

    def solved(self, step: Step) -> None:
        """The next piece begins behind this one."""
        self.complete = step.last
        if step.until == self._until:
            self._until += next(self._hops)


Words = list[int] | None | Exception  # ids that arrived; None at the end


@dataclass(eq=False)
class Stream:
    """A request that is spoken, in pieces or whole."""

    ticket: Ticket
    work: Work
    asked: float  # seconds, when it came
    heard: deque[Words] = field(default_factory=deque)  # of a text that arrives, not yet handed on
    voice: KeptVoice | None = None  # of one in pieces, once it is spoken
    segments: deque[Segment] = field(default_factory=deque)  # begun, and not spoken to the end
    begun: int = 0  # segments
    dry: float | None = None  # seconds, when the listener will have heard all there is
    audio: dict[int, np.ndarray] = field(default_factory=dict)  # of segments, where it is given as a whole
    failure: BaseException | None = None  # raised behind the audio that comes before it

    @property
    def front(self) -> Segment | None:
        """The segment that is spoken now."""
        return self.segments[0] if self.segments else None

    @property
    def all_begun(self) -> bool:
        """Whether no more segments wait for the language model."""
        return self.failure is not None or self.begun == len(self.work.sources)

    @property
    def over(self) -> bool:
        """Whether nothing is left to speak."""
        return self.all_begun and not self.segments

    @property
    def held(self) -> int:
        """Pages of its own."""
        track = self.front.track if self.front else None
        if track is None or self.voice is None:
            return 0
        of_voice = self.voice.track.first + len(self.voice.track.pages)
        return len(track.pages) - max(of_voice - track.first, 0)

    def fail_behind(self, error: BaseException) -> None:
        """Ends in the error, once what has been drawn is spoken."""
        self.failure = self.failure or error

    def gave(self, seconds: float, now: float) -> float | None:
        """Notes that audio was given; how far ahead of the listener that was, None of the first."""
        slack = None if self.dry is None else self.dry - now
        self.dry = max(self.dry or now, now) + seconds
        return slack


def longest(config: FlowConfig, seconds: float) -> int:
    """Speech tokens of so many seconds."""
    return int(seconds * config.chunk_frames) // config.token_mel_ratio  # a chunk is a second


def most_frames(work: Work, config: FlowConfig, seconds: float) -> int:
    """Mel frames that the longest segment of a request can have, its voice's among them, if it is no longer than
    `seconds`, but for a recording that is converted, whose length is known."""
    limit = longest(config, seconds)
    lengths = [
        len(source) if isinstance(source, np.ndarray) else min(getattr(source, "max_new", limit), limit)
        for source in work.sources
    ]
    return config.token_mel_ratio * (len(work.voice.prompt.speech_tokens) + max(lengths))
