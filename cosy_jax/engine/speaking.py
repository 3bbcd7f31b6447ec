"""Flow and vocoder for the streams: one batch of pieces at a time."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cosy_jax.audio.join import fade
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
from cosy_jax.vocoder.streaming import VocoderStep

Give = Callable[[Stream, np.ndarray], None]
Fail = Callable[[Stream, Exception], None]


@dataclass(frozen=True)
class Speaking:
    """Pieces of streams that have the tokens for them, and of voices that they begin behind."""

    device: Device
    memory: Memory
    order: Order
    rate: int  # Hz
    ratio: int  # mel frames a token
    meters: Meters

    def candidates(self, streams: Sequence[Stream]) -> list[Ready]:
        """What could be computed now; each tag is a stream or a voice with its step."""
        ready = [self._ready(stream, *found, stream.dry) for stream in streams if (found := self._next(stream))]
        for voice, step in self.memory.voices.steps():
            asked = min(stream.asked for stream in streams if stream.voice is voice)
            frames = self.ratio * step.until - step.track.frames
            ready.append(Ready((voice, step), frames, asked, None))
        return ready

    def speak(self, ready: Sequence[Ready], streams: Sequence[Stream], now: float, give: Give, fail: Fail) -> bool:
        """Computes the most urgent pieces that there is memory for; whether there were any."""
        chosen = self._granted(ready, streams, now)
        if not chosen:
            return False
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
                solved.append((whose, mel[max(self.ratio * whose.prompt_tokens - frames, 0) :]))
        self._vocode(solved, give, fail)
        return True

    def _ready(self, stream: Stream, segment: Segment, step: Step, dry: float | None) -> Ready:
        return Ready((segment, step), self.ratio * step.until - step.track.frames, stream.asked, dry)

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

    def _vocode(self, solved: Sequence[tuple[Segment, np.ndarray]], give: Give, fail: Fail) -> None:
        steps, segments = [], []
        for segment, mel in solved:
            try:
                finite(mel, Stage.FLOW)
            except CosyError as error:
                fail(segment.stream, error)
                continue
            state = segment.vocoder or self.device.silence()
            steps.append(VocoderStep(state, mel, segment.spoken))
            segments.append(segment)
        if not steps:
            return
        for segment, (audio, state) in zip(segments, self.device.vocode(steps), strict=True):
            head = segment.index > 0 and segment.vocoder is None
            segment.vocoder = state
            try:
                finite(audio, Stage.VOCODER)
            except CosyError as error:
                fail(segment.stream, error)
                continue
            give(segment.stream, fade(audio, self.rate, head, segment.spoken and not segment.last))
