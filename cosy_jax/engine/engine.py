"""Many requests at once, from any thread or asyncio task.

Voices and texts are prepared in threads of their own; one thread computes (`scheduler`). What a request sounds like
does not depend on what is spoken beside it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Empty, SimpleQueue

from cosy_jax.audio.read import Waveform
from cosy_jax.audio.speed import check_speed
from cosy_jax.engine.device import Device
from cosy_jax.engine.errors import BusyError, CancelledError
from cosy_jax.engine.limits import Limits, make_budget
from cosy_jax.engine.meters import Meters
from cosy_jax.engine.scheduler import Scheduler
from cosy_jax.engine.streams import Stream, Work
from cosy_jax.engine.ticket import Ticket
from cosy_jax.engine.warm import Warming, warm
from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import speech_tokens
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voice import Voice
from cosy_jax.synthesis.voice_conversion import source_pieces

_PREPARING = 2  # threads
_PACE = 0.1  # of the newest request in the mean of their times


class Engine:
    """Speaks many requests at a time; `with Engine(synthesizer) as engine:` lets them end before it closes.

    CosyError where the memory is not enough for one stream.
    """

    def __init__(self, synthesizer: Synthesizer, limits: Limits | None = None) -> None:
        self._synthesizer, self._limits = synthesizer, limits or Limits()
        self.budget = make_budget(self._limits, synthesizer.config.flow, synthesizer.precision)
        self._device = Device(synthesizer, self.budget, self._limits)
        self._scheduler = Scheduler(self._device, synthesizer.config, self.budget, self._limits, time.monotonic)
        self._inbox: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Condition()
        self._open: set[Ticket] = set()  # that have not ended
        self._warmings: deque[Warming] = deque()
        self._closing = self._broken = False
        self._seconds = 1.0  # that a request takes, of late
        self._preparers = ThreadPoolExecutor(_PREPARING, "prepare")
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(drain=kind is None)

    @property
    def meters(self) -> Meters:
        """What has happened so far."""
        return self._scheduler.meters

    def submit(self, request: Request, whole: bool = False) -> Ticket:
        """Asks for a request to be spoken, in pieces, or `whole`, with full attention, which costs less. Returns at
        once.

        BusyError where the queue is full; CosyError for what cannot be spoken, here or, if it shows later, from the
        ticket.
        """
        if request.reference_slips:
            raise CosyError("An engine does not slip as the reference does: leave it out.", "reference_slips")
        if whole:
            _ = request.whole_text
        else:
            request.check_streamable()
        return self._start(lambda ticket, asked: self._prepare(request, whole, ticket, asked))

    def convert(
        self, source: str | Path | Waveform, voice: str | Voice, whole: bool = False, speed: float = 1.0
    ) -> Ticket:
        """Asks for what is said in a recording, in another voice; errors as `submit`."""
        check_speed(speed)
        if speed != 1 and not whole:
            raise CosyError("A stream cannot change the speed: leave it at 1, or ask for the whole.", "speed")

        def prepare(ticket: Ticket, asked: float) -> None:
            found = self._within(self._synthesizer.find_voice(voice))
            config, params = self._synthesizer.config, self._synthesizer.params("speech_tokenizer")
            tokens = [speech_tokens(wav, params, config) for wav in source_pieces(source, config)]
            self._hand_on(Stream(ticket, Work(found, tokens, whole, speed), asked))

        return self._start(prepare)

    def warm(self, on_program: Callable[[int, int], None] = lambda done, of: None, whole: bool = False) -> None:
        """Compiles, or reads from the cache, all programs that requests in pieces can need, and with `whole` those of
        whole ones, so that no request compiles. Requests that come meanwhile are spoken first, with what they need
        compiled for them. `on_program` is told how many of how many are there. CancelledError where the engine is
        closed meanwhile."""
        programs = warm(self._device, self._synthesizer, self.budget, self._limits, whole)
        warming = Warming(programs, on_program)
        with self._lock:
            self._check_open()
            self._warmings.append(warming)
        self._wake()
        warming.wait()

    def close(self, drain: bool = True) -> None:
        """Takes no more requests; lets those there are end, or with `drain` false ends them."""
        with self._lock:
            self._closing = True
            if drain:
                self._lock.wait_for(lambda: not self._open or self._broken)
        self._preparers.shutdown(cancel_futures=True)
        self._inbox.put(None)
        self._thread.join()
        self._device.close()
        self._end_all(CancelledError("The engine was closed."))  # those too that nobody has prepared

    def _check_open(self) -> None:
        if self._broken or self._closing:
            raise CosyError("The engine is closed: make another one.")

    def _end_all(self, error: Exception) -> None:
        with self._lock:
            left = list(self._open)
        for ticket in left:
            ticket.end(error)

    def _start(self, prepare: Callable[[Ticket, float], None]) -> Ticket:
        asked, ticket = time.monotonic(), Ticket(self._synthesizer.config.sample_rate, self._wake)

        def guarded() -> None:
            try:
                if not ticket.cancelled:
                    prepare(ticket, asked)
            except Exception as error:
                ticket.end(error)

        with self._lock:
            self._check_open()
            if len(self._open) >= self.budget.streams + self._limits.queue:
                self.meters.refused += 1
                beyond = len(self._open) - self.budget.streams + 1
                raise BusyError(max(1.0, self._seconds * beyond / self.budget.streams))
            self._open.add(ticket)
            ticket.when_done(lambda _: self._ended(ticket, asked))
            self._preparers.submit(guarded)  # under the lock: `close` ends them after it
        return ticket

    def _prepare(self, request: Request, whole: bool, ticket: Ticket, asked: float) -> None:
        request = self._synthesizer.resolve(request)
        voice = self._within(request.voice_at_hand)
        if isinstance(request.text, str):
            work = Work(voice, self._synthesizer.contexts(request), whole, request.speed)
            self._hand_on(Stream(ticket, work, asked))
            return
        stream = Stream(
            ticket, Work(voice, [self._synthesizer.arriving_context(request)], False, seed=request.seed), asked
        )
        self._hand_on(stream)
        threading.Thread(target=self._listen, args=(stream, request.text), name="text", daemon=True).start()

    def _within(self, voice: Voice) -> Voice:
        """The voice; CosyError where its recording is longer than the limit."""
        seconds = len(voice.prompt.speech_tokens) / self._synthesizer.config.token_rate
        if seconds > self._limits.recording:
            raise CosyError(f"The voice's recording is longer than {self._limits.recording:g} s: use a shorter one.")
        return voice

    def _listen(self, stream: Stream, text: Iterable[str]) -> None:
        """Hands on a text as it arrives."""
        words: list[int] | Exception | None
        try:
            for words in self._synthesizer.arriving_ids(text):
                if stream.ticket.done:
                    return
                self._hear(stream, words)
            words = None
        except Exception as error:
            words = error
        self._hear(stream, words)

    def _hear(self, stream: Stream, words: list[int] | Exception | None) -> None:
        self._inbox.put(lambda: stream.heard.append(words))

    def _hand_on(self, stream: Stream) -> None:
        self._inbox.put(lambda: self._scheduler.submit(stream))

    def _wake(self) -> None:
        self._inbox.put(_nothing)

    def _ended(self, ticket: Ticket, asked: float) -> None:
        with self._lock:
            self._open.discard(ticket)
            self._seconds += _PACE * (time.monotonic() - asked - self._seconds)
            self._lock.notify_all()

    def _run(self) -> None:
        closed = CancelledError("The engine was closed.")
        try:
            self._work()
            self._scheduler.fail_all(closed)
        except Exception as error:
            # The arrays that the programs were given are gone: nobody can be spoken for any more.
            with self._lock:
                self._broken = True
                self._lock.notify_all()
            self._scheduler.fail_all(error)
            self._end_all(error)
        for warming in self._warmings:
            warming.end(closed)

    def _work(self) -> None:
        while True:
            due = self._scheduler.turn() or self._warm_one()
            for message in self._messages(wait=not due):
                if message is None:
                    return
                message()

    def _warm_one(self) -> bool:
        """Runs a program for those who wait for all of them; whether there are any."""
        if not self._warmings:
            return False
        if not self._warmings[0].step():
            self._warmings.popleft()
        return True

    def _messages(self, wait: bool) -> Iterator[Callable[[], None] | None]:
        if wait:
            yield self._inbox.get()
        while True:
            try:
                yield self._inbox.get_nowait()
            except Empty:
                return


def _nothing() -> None:
    """Wakes the thread: something has been read or cancelled, or is to be warmed."""
