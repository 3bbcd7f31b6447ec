"""Who has which pages of the flow: the host's side of `pages`, for one thread.

A track is one utterance's past, or a voice's: what is the same for all that is spoken in it. A track that begins in
another one shares its pages, which are given back when the last track that has them is closed.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import FlowConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.dit import LayerPast
from cosy_jax.flow.pages import BLANK, NOWHERE, FlowPages, empty_pages
from cosy_jax.flow.streaming import Piece, batch_pieces, page_bucket, solve_pieces
from cosy_jax.nn import buckets
from cosy_jax.nn.precision import Precision
from cosy_jax.prompt.encode import Prompt


@dataclass(eq=False)
class Track:
    """How far an utterance is: its frames so far, the chunks from `first` on in `pages`, the slot that its convolutions
    look back on, its own or that of the track that it began in."""

    frames: int = 0
    first: int = 0
    pages: list[int] = field(default_factory=list)
    read: int = BLANK
    own: int | None = None


@dataclass(frozen=True)
class Step:
    """A piece that is wanted: the track, all its tokens so far, the prompt's first, and the token to solve to, which
    ends a chunk unless it is the `last`."""

    track: Track
    tokens: np.ndarray
    until: int
    prompt: Prompt
    last: bool = False


class Tracks:
    """The flow's pages and slots, and whose they are. With `grows` there is always room; `place` puts a layer's keys
    and values on the devices."""

    def __init__(
        self,
        params: dict,
        config: FlowConfig,
        precision: Precision,
        pages: int,
        slots: int,
        left_chunks: int | None = None,
        grows: bool = False,
        place: Callable[[LayerPast], LayerPast] = lambda layer: layer,
    ) -> None:
        self._params, self._config, self._precision = params, config, precision
        self._left, self._grows = left_chunks, grows
        self._pages = empty_pages(config, precision, pages + 1, slots + 1, place)
        self._free_pages, self._free_slots = list(range(pages, 0, -1)), list(range(slots, 0, -1))
        self._holders: Counter[int] = Counter()

    @property
    def free_pages(self) -> int:
        """Pages that nobody has."""
        return len(self._free_pages)

    @property
    def free_slots(self) -> int:
        """Slots that nobody has."""
        return len(self._free_slots)

    def begin(self, voice: Track | None = None) -> Track:
        """A new track, with the past of `voice` in front of it. Its slot is taken with its first piece that leaves
        something behind."""
        if voice is None:
            return Track()
        self._holders.update(voice.pages)
        return Track(voice.frames, voice.first, list(voice.pages), voice.read)

    def close(self, track: Track) -> None:
        """Gives back what the track has; it is as one that never began."""
        self._let_go(track.pages)
        if track.own is not None:
            self._free_slots.append(track.own)
        track.frames, track.first, track.pages, track.read, track.own = 0, 0, [], BLANK, None

    def pages_for(self, step: Step) -> int:
        """Pages that a step takes."""
        chunk = self._config.chunk_frames
        return 0 if step.last else (self._config.token_mel_ratio * step.until - step.track.frames) // chunk

    def solve(self, steps: Sequence[Step]) -> list[np.ndarray]:
        """Mel float32 (T, M) of each step, which are of different tracks. CosyError, before anything is computed, where
        there are not the pages or slots for all of them."""
        self._make_room(steps)
        pieces = [self._piece(step) for step in steps]
        mels = self.compute(pieces)
        for step, piece in zip(steps, pieces, strict=True):
            self._advance(step.track, piece)
        return [mel[: piece.frames(self._config)] for mel, piece in zip(mels, pieces, strict=False)]

    def compute(self, pieces: Sequence[Piece]) -> np.ndarray:
        """Mel float32 (R, T, M) of the pieces, padded, and of idle rows; what they leave behind goes into the pages."""
        config = self._config
        frames = buckets.bucket(max(piece.frames(config) for piece in pieces), buckets.STREAM_FRAMES, "A piece")
        looked = page_bucket(max(len(piece.pages) for piece in pieces), config)
        rows = buckets.bucket(len(pieces), buckets.STREAM_ROWS, "The batch of pieces")
        batch = batch_pieces(pieces, config, rows, frames, looked)
        mels, self._pages = solve_pieces(self._params, self._pages, batch, config=config, precision=self._precision)
        return np.asarray(mels)

    def _make_room(self, steps: Sequence[Step]) -> None:
        pages, slots = sum(map(self.pages_for, steps)), sum(self._needs_slot(step) for step in steps)
        if self._grows and pages > self.free_pages:
            self._grow(pages)
        if pages > self.free_pages or slots > self.free_slots:
            raise CosyError("The flow has no room left for these pieces: close a stream first.")

    def _needs_slot(self, step: Step) -> bool:
        return not step.last and step.track.own is None

    def _piece(self, step: Step) -> Piece:
        track = step.track
        if self._needs_slot(step):
            track.own = self._free_slots.pop()
        fills = tuple(self._free_pages.pop() for _ in range(self.pages_for(step)))
        self._holders.update(fills)
        return Piece(
            step.tokens,
            step.prompt,
            track.frames,
            step.until,
            track.first,
            tuple(track.pages),
            fills,
            track.read,
            NOWHERE if track.own is None or step.last else track.own,
            self._left,
        )

    def _advance(self, track: Track, piece: Piece) -> None:
        track.frames += piece.frames(self._config)
        if piece.write == NOWHERE:
            return
        track.pages += piece.fills
        track.read = piece.write
        if self._left is not None:
            gone = max(track.frames // self._config.chunk_frames - self._left - track.first, 0)
            self._let_go(track.pages[:gone])
            track.first, track.pages = track.first + gone, track.pages[gone:]

    def _grow(self, count: int) -> None:
        """Twice the pages, or more where that is not enough."""
        before = self._pages.layers[0].key.shape[2]
        more = max(before - 1, count)

        def grown(layer: LayerPast) -> LayerPast:
            return jax.tree.map(lambda x: jnp.pad(x, [(0, 0), (0, 0), (0, more), *[(0, 0)] * 3]), layer)

        self._pages = FlowPages(tuple(map(grown, self._pages.layers)), self._pages.convolutions)
        self._free_pages[:0] = range(before + more - 1, before - 1, -1)

    def _let_go(self, pages: Sequence[int]) -> None:
        for page in pages:
            self._holders[page] -= 1
            if not self._holders[page]:
                del self._holders[page]
                self._free_pages.append(page)
