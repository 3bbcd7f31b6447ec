"""What is computed next, for all requests of an engine: one thread, turn after turn.

A turn lets requests in, gives the language model's rows one block of draws, then flow and vocoder one batch of pieces,
one piece a stream; whole utterances take their turn when no stream has a piece to speak. Nothing here waits, and clock
and device are arguments, so that a simulated device shows what happens under any load.
"""

from collections import deque
from collections.abc import Callable

import numpy as np

from cosy_jax.audio.join import join_audio
from cosy_jax.batch.grouping import Failure, halving, part_size
from cosy_jax.config import ModelConfig
from cosy_jax.engine.decoding import Decoding
from cosy_jax.engine.device import Device
from cosy_jax.engine.limits import Budget, Limits
from cosy_jax.engine.memory import Memory
from cosy_jax.engine.meters import Meters
from cosy_jax.engine.order import Order
from cosy_jax.engine.speaking import Speaking
from cosy_jax.engine.streams import Segment, Stream
from cosy_jax.engine.voices import KeptVoices
from cosy_jax.errors import CosyError
from cosy_jax.flow.inputs import flow_bucket
from cosy_jax.nn import backend, buckets


class Scheduler:
    """All requests that are not over, and what is done for them."""

    def __init__(
        self, device: Device, config: ModelConfig, budget: Budget, limits: Limits, clock: Callable[[], float]
    ) -> None:
        self._device, self._config, self._budget, self._limits, self._clock = device, config, budget, limits, clock
        self.meters = Meters()
        self._voices = KeptVoices(device.tracks, config.flow, budget.slots - budget.streams, self.meters)
        self._memory = Memory(device.tracks, self._voices, config.flow, limits, budget.pages)
        pads = backend.host_platform() != "cpu"
        order = Order(limits.comfort, budget.piece_rows, buckets.STREAM_FRAMES, pads)
        self._speaking = Speaking(device, self._memory, order, config, self.meters)
        self._decoding = Decoding(device.rows, config, limits.seconds, budget.begins, self.meters, device.beside)
        self._queue: deque[Stream] = deque()
        self._active: list[Stream] = []  # by age

    @property
    def busy(self) -> bool:
        """Whether there is anything to speak."""
        return bool(self._queue or self._active)

    def submit(self, stream: Stream) -> None:
        """One more request; one that can never be spoken ends at once."""
        self.meters.requests += 1
        try:
            self._memory.check(stream)
        except CosyError as error:
            self._fail(stream, error)
            return
        self._queue.append(stream)

    def turn(self) -> bool:
        """Does what is due; whether anything was, else there is nothing to do until something comes."""
        self._drop_cancelled()
        self._admit()
        listening = [stream for stream in self._active if not stream.work.whole and not self._pauses(stream)]
        ready = self._speaking.candidates(listening, self._clock())
        self._decoding.start(self._active, bool(ready))
        spoke = self._speaking.speak(ready, self._streams(), self._clock(), self._give, self._fail)
        if not ready:
            spoke = self._speak_whole() or spoke
        drew = self._decoding.finish()
        ended = self._end_streams()
        self._look()
        return drew or spoke or ended

    def fail_all(self, error: Exception) -> None:
        """Ends every request in this error."""
        for stream in [*self._active, *self._queue]:
            self._fail(stream, error)
        self._queue.clear()

    def _streams(self) -> list[Stream]:
        return [stream for stream in self._active if not stream.work.whole]

    def _pauses(self, stream: Stream) -> bool:
        """Whether the reader of a stream takes its audio too slowly for more of it."""
        return stream.ticket.unread >= self._limits.ahead

    def _drop_cancelled(self) -> None:
        for stream in [stream for stream in self._active if stream.ticket.cancelled]:
            self._release(stream)
            self.meters.cancelled += 1
        waiting = [stream for stream in self._queue if not stream.ticket.cancelled]
        self.meters.cancelled += len(self._queue) - len(waiting)
        self._queue = deque(waiting)

    def _admit(self) -> None:
        while self._queue and len(self._active) < self._budget.streams and self._decoding.free:
            if not self._memory.admits(self._queue[0], self._streams()):
                break
            stream = self._queue.popleft()
            if not stream.work.whole:
                stream.voice = self._voices.use(stream.work.voice.prompt)
            self.meters.waited.add(self._clock() - stream.asked)
            self._active.append(stream)
        # Streams first: the segments of one whole text could take all rows.
        self._decoding.begin(sorted(self._active, key=lambda stream: stream.work.whole))

    def _give(self, stream: Stream, audio: np.ndarray) -> None:
        now, seconds = self._clock(), len(audio) / self._config.sample_rate
        if not len(audio):
            return
        slack = stream.gave(seconds, now)
        stream.ticket.put(audio)
        self.meters.pieces += 1
        self.meters.audio_seconds += seconds
        if slack is None:
            self.meters.first_audio.add(now - stream.asked)
        else:
            self.meters.slack.add(max(slack, 0.0))
            self.meters.late_pieces += slack < 0

    def _speak_whole(self) -> bool:
        """One batch of whole segments of one length; whether there was one."""
        waiting = [
            segment
            for stream in self._active
            if stream.work.whole
            for segment in stream.segments
            if segment.ended and segment.index not in stream.audio
        ]
        if not waiting:
            return False
        alike = [each for each in waiting if _bucket(each) == _bucket(waiting[0])]
        group = alike[: part_size(len(alike), self._budget.whole_rows)]
        for end in halving(group, self._speak_group):
            if isinstance(end, Failure):
                self._fail(end.item.stream, CosyError(end.error))
            else:
                end.item.stream.audio[end.item.index] = end.value
        return True

    def _speak_group(self, group: list[Segment]) -> list[np.ndarray]:
        if any(segment.empty for segment in group):
            raise CosyError("The model ended before it spoke a single token: try another seed or a longer text.")
        works = [(segment.drawn, segment.stream.work) for segment in group]
        return self._device.speak([(tokens, work.voice.prompt, work.speed) for tokens, work in works])

    def _end_streams(self) -> bool:
        """Takes away segments that are spoken, and streams that are over; whether there were any."""
        ended = False
        for stream in list(self._active):
            while stream.front and (stream.front.empty or stream.front.spoken) and not stream.work.whole:
                self._close(stream.segments.popleft())
                ended = True
            if stream.work.whole and stream.all_begun and len(stream.audio) == stream.begun and stream.begun:
                parts = [stream.audio[index] for index in range(stream.begun)]
                self._give(stream, join_audio(parts, self._config.sample_rate))
                stream.segments.clear()
            if stream.over:
                self._finish(stream)
                ended = True
        return ended

    def _finish(self, stream: Stream) -> None:
        if stream.failure is not None:
            self._fail(stream, stream.failure)
            return
        self._release(stream)
        self.meters.finished += 1
        self.meters.whole_request.add(self._clock() - stream.asked)
        stream.ticket.end()

    def _fail(self, stream: Stream, error: BaseException) -> None:
        self._release(stream)
        self.meters.failed += 1
        stream.ticket.end(error)

    def _release(self, stream: Stream) -> None:
        """Gives back all that the request has."""
        self._decoding.drop(stream)
        for segment in stream.segments:
            self._close(segment)
        stream.segments.clear()
        if stream.voice is not None:
            self._voices.release(stream.voice)
            stream.voice = None
        if stream in self._active:
            self._active.remove(stream)

    def _close(self, segment: Segment) -> None:
        if segment.track is not None:
            self._device.tracks.close(segment.track)
            segment.track = None

    def _look(self) -> None:
        meters = self.meters
        meters.queued, meters.active, meters.voices = len(self._queue), len(self._active), len(self._voices)
        meters.paused = sum(map(self._pauses, self._streams()))
        meters.free_pages = self._device.tracks.free_pages


def _bucket(segment: Segment) -> int:
    return flow_bucket(len(segment.tokens))
