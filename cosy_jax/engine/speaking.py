"""Flow and vocoder for the streams: one batch of pieces at a time.

Where the device computes things side by side, the vocoder has a batch while the flow has the next one: the pieces are
given when that is solved, or when there is none to solve.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosy_jax.audio.join import fade
from cosy_jax.config import ModelConfig
from cosy_jax.engine.device import Device
from cosy_jax.engine.memory import Memory
from cosy_jax.engine.meters import Meters
from cosy_jax.engine.order import Order, Ready
from cosy_jax.engine.streams import Segment, Stream
from cosy_jax.engine.voices import KeptVoice
from cosy_jax.errors import CosyError
from cosy_jax.flow.tracks import Step
from cosy_jax.synthesis.speech import finite
from cosy_jax.synthesis.stage import Stage
from cosy_jax.vocoder.streaming import VocoderState, VocoderStep

Give = Callable[[Stream, np.ndarray], None]
Fail = Callable[[Stream, Exception], None]


@dataclass(frozen=True)
class _Vocoding:
    """Pieces that the vocoder has: their segments, each with whether it is the last, and what waits for their audio."""

    pieces: list[tuple[Segment, bool]]
    seconds: dict[Stream, float]  # of audio that comes
    result: Callable[[], list[tuple[np.ndarray, VocoderState]]]


@dataclass
class Speaking:
    """Pieces of streams that have the tokens for them, and of voices that they begin behind."""

    device: Device
    memory: Memory
    order: Order
    config: ModelConfig
    meters: Meters
    _vocoding: _Vocoding | None = None

    @property
    def _ratio(self) -> int:
        """Mel frames a token."""
        return self.config.flow.token_mel_ratio

    def candidates(self, streams: Sequence[Stream], now: float) -> list[Ready]:
        """What could be computed now; each tag is a stream or a voice with its step."""
        ready = [
            self._ready(stream, *found, self._dry(stream, now)) for stream in streams if (found := self._next(stream))
        ]
        for voice, step in self.memory.voices.steps():
            asked = min(stream.asked for stream in streams if stream.voice is voice)
            frames = self._ratio * step.until - step.track.frames
            ready.append(Ready((voice, step), frames, asked, None))
        return ready

    def speak(self, ready: Sequence[Ready], streams: Sequence[Stream], now: float, give: Give, fail: Fail) -> bool:
        """Computes the most urgent pieces that there is memory for; whether there was anything to do."""
        chosen = self._granted(ready, streams, now)
        solved = self._solve(chosen) if chosen else []
        gave = self._finish(give, fail)
        self._vocode(solved, fail)
        if not self.device.side_by_side:
            self._finish(give, fail)
        return bool(chosen) or gave

    def _solve(self, chosen: Sequence[tuple[Segment | KeptVoice, Step]]) -> list[tuple[Segment, np.ndarray]]:
        """The new mel of each segment among the pieces."""
        steps = [step for _, step in chosen]
        before = [step.track.frames for step in steps]
        self.memory.voices.make_room(sum(map(self.device.tracks.pages_for, steps)))
        mels = self.device.tracks.solve(steps)
        self.meters.batches += 1
        self.meters.batch_rows += len(steps)
        solved = []
        for (whose, step), frames, mel in zip(chosen, before, mels, strict=True):
            if isinstance(whose, Segment):
                whose.solved(step)
                solved.append((whose, mel[max(self._ratio * whose.prompt_tokens - frames, 0) :]))
        return solved

    def _ready(self, stream: Stream, segment: Segment, step: Step, dry: float | None) -> Ready:
        return Ready((segment, step), self._ratio * step.until - step.track.frames, stream.asked, dry)

    def _dry(self, stream: Stream, now: float) -> float | None:
        """As the stream's, when what the vocoder has of it is given."""
        coming = self._vocoding.seconds.get(stream) if self._vocoding else None
        return stream.dry if coming is None else max(stream.dry or now, now) + coming

    def _next(self, stream: Stream) -> tuple[Segment, Step] | None:
        segment = stream.front
        if segment is None or stream.voice is None or not stream.voice.complete:
            return None
        if segment.track is None:
            segment.track = self.device.tracks.begin(stream.voice.track)
        step = segment.next_step()
        return None if step is None else (segment, step)

    def _granted(
        self, ready: Sequence[Ready], streams: Sequence[Stream], now: float
    ) -> list[tuple[Segment | KeptVoice, Step]]:
        possible = [piece for piece in ready if self._may_have([piece], streams)]
        chosen = self.order.choose(possible, now)
        while not self._may_have(chosen, streams):
            chosen.pop()
        return [piece.tag for piece in chosen]

    def _may_have(self, pieces: Sequence[Ready], streams: Sequence[Stream]) -> bool:
        wanted = {
            whose.stream: self.device.tracks.pages_for(step)
            for whose, step in (piece.tag for piece in pieces)
            if isinstance(whose, Segment)
        }
        # A last piece takes nothing; voices have had their pages promised when their first stream was let in.
        return not any(wanted.values()) or self.memory.grants(wanted, streams)

    def _vocode(self, solved: Sequence[tuple[Segment, np.ndarray]], fail: Fail) -> None:
        steps, segments = [], []
        for segment, mel in solved:
            try:
                finite(mel, Stage.FLOW)
            except CosyError as error:
                fail(segment.stream, error)
                continue
            state = segment.vocoder or self.device.silence()
            steps.append(VocoderStep(state, mel, segment.complete))
            segments.append(segment)
        if steps:
            pieces = [(segment, step.last) for segment, step in zip(segments, steps, strict=True)]
            frames = {segment.stream: len(step.mel) for segment, step in zip(segments, steps, strict=True)}
            seconds = {stream: count / (self._ratio * self.config.token_rate) for stream, count in frames.items()}
            self._vocoding = _Vocoding(pieces, seconds, self.device.beside(self.device.vocode, steps))

    def _finish(self, give: Give, fail: Fail) -> bool:
        """Gives what the vocoder has made; whether it had anything."""
        if self._vocoding is None:
            return False
        begun, self._vocoding = self._vocoding, None
        for (segment, last), (audio, state) in zip(begun.pieces, begun.result(), strict=True):
            if segment.stream.ticket.done:
                continue
            head = segment.index > 0 and segment.vocoder is None
            segment.vocoder, segment.spoken = state, last
            try:
                finite(audio, Stage.VOCODER)
            except CosyError as error:
                fail(segment.stream, error)
                continue
            give(segment.stream, fade(audio, self.config.sample_rate, head, last and not segment.last))
        return True
