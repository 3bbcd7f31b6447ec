"""The language model's rows, as the streams need them."""

from collections.abc import Callable, Iterable, Sequence

import jax
import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.engine.meters import Meters
from cosy_jax.engine.streams import Segment, Stream, longest
from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context
from cosy_jax.llm.rows import DecodeRows
from cosy_jax.llm.seat import Drawn

BLOCK = 25  # draws of a row before the host looks, at most: a second of speech
_LEAST = 5  # and at least: a block has a price of its own
_AHEAD = 2  # segments of a stream that are begun and not yet spoken to the end

# Begins to call a function with an argument while other things are computed; what it returns waits for the result.
Beside = Callable[[Callable[[int], list[Drawn]], int], Callable[[], list[Drawn]]]


class Decoding:
    """Segments in, speech tokens for them out, a block at a time: `start`, and `finish` when it is wanted."""

    def __init__(
        self, rows: DecodeRows, config: ModelConfig, seconds: float, begins: int, meters: Meters, beside: Beside
    ) -> None:
        self._rows, self._config, self._meters, self._beside = rows, config, meters, beside
        self._begins = begins  # streams in one turn
        self._drawing: Callable[[], list[Drawn]] | None = None
        self._leaving: list[Segment] = []  # whose rows are free once the block is drawn
        self._seconds, self._longest = seconds, longest(config.flow, seconds)

    @property
    def free(self) -> int:
        """Rows that nobody has."""
        return self._rows.counts.free

    def begin(self, streams: Iterable[Stream]) -> None:
        """Gives the next segments of at most `begins` streams to the rows that are free; those of whole requests all at
        once."""
        left = self._begins
        for stream in streams:
            if stream.work.whole or left:
                left -= self._may_begin(stream) and not stream.work.whole
                while self._may_begin(stream):
                    self._begin(stream)
            self._hear(stream)

    def start(self, streams: Sequence[Stream], pieces_wait: bool) -> None:
        """Begins a block of draws, short where a stream waits for a few of them and no piece could be solved
        meanwhile, or where the first piece of all that there are is, on the same cores."""
        if self._rows.counts.seated:
            self._drawing = self._beside(self._rows.advance, self._draws(streams, pieces_wait))

    def finish(self) -> bool:
        """Hands the block's draws to their segments; whether there were any."""
        if self._drawing is None:
            return False
        news = self._drawing()
        self._drawing = None
        for segment in self._leaving:
            self._rows.drop(segment)
        self._leaving.clear()
        for drawn in news:
            self._take(drawn)
        counts = self._rows.counts
        self._meters.decode_steps, self._meters.decode_rows = counts.steps, counts.rows
        return bool(news)

    def drop(self, stream: Stream) -> None:
        """Frees the stream's rows, once no block is drawn."""
        for segment in stream.segments:
            if self._drawing is None:
                self._rows.drop(segment)
            else:
                self._leaving.append(segment)

    def _take(self, drawn: Drawn) -> None:
        segment: Segment = drawn.tag  # type: ignore[assignment]
        segment.take(drawn.ids)
        self._meters.drawn_ids += len(drawn.ids)
        if drawn.ended:
            segment.ended, segment.decoding = True, False
        if drawn.error is not None:
            segment.stream.fail_behind(drawn.error)
        elif segment.drawn_count > self._longest:
            too_long = f"This text took more than {self._seconds:g} s to speak: split it, or raise the engine's limit."
            self._end(segment, CosyError(too_long))

    def _end(self, segment: Segment, error: Exception) -> None:
        """What was drawn is spoken, and then the error is raised, as a stream by itself does."""
        self._rows.drop(segment)
        segment.ended, segment.decoding = True, False
        segment.stream.fail_behind(error)

    def _may_begin(self, stream: Stream) -> bool:
        if stream.all_begun or not self.free:
            return False
        decodes = any(segment.decoding for segment in stream.segments)
        return stream.work.whole or not (decodes or len(stream.segments) >= _AHEAD)

    def _begin(self, stream: Stream) -> None:
        source = stream.work.sources[stream.begun]
        segment = Segment(stream, stream.begun, source, self._config.llm.silent_ids, self._config.flow)
        try:
            if isinstance(source, Context):
                self._rows.add([(segment, source)])
            elif not isinstance(source, np.ndarray):
                self._rows.open(segment, source, jax.random.key(stream.work.seed))
        except CosyError as error:
            stream.fail_behind(error)
            return
        stream.begun += 1
        stream.segments.append(segment)

    def _hear(self, stream: Stream) -> None:
        """Hands on what text has arrived."""
        segment = stream.front
        if segment is None or not segment.decoding:
            return
        while stream.heard:
            words = stream.heard.popleft()
            try:
                if isinstance(words, Exception):
                    raise words
                if words is None:
                    self._rows.end_text(segment)
                else:
                    self._rows.say(segment, words)
            except Exception as error:
                self._end(segment, error)
                return

    def _draws(self, streams: Sequence[Stream], pieces_wait: bool) -> int:
        if all(stream.dry is None and stream.front and stream.front.track for stream in streams):
            return _LEAST
        return BLOCK if pieces_wait else self._until_a_piece(streams)

    def _until_a_piece(self, streams: Sequence[Stream]) -> int:
        waiting = [each.missing for stream in streams for each in stream.segments if each.decoding and each.missing]
        return min(max(min(waiting, default=BLOCK), _LEAST), BLOCK)
