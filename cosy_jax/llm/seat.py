"""The host's notes on one request that is decoded with others (`rows`): its turn, and how far it has come."""

from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.llm.context import Context
from cosy_jax.llm.row_state import APPENDED, RowSettings
from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.llm.turns import Turn, Words
from cosy_jax.nn import buckets

DRAWN = 2  # positions that drawing takes at least: an id is run behind the others once it is drawn


@dataclass(frozen=True)
class Drawn:
    """What a block gave one request: its new speech ids, silence not capped; whether it has ended, by itself or by the
    error; and how often the repetition rule drew again so far."""

    tag: Any
    ids: list[int]
    ended: bool
    fallbacks: int
    error: CosyError | None = None


@dataclass
class Seat:
    """A request and what has come of it."""

    tag: Any
    words: Words
    key: jax.Array  # ()
    settings: RowSettings
    index: int | None = None  # its place on the device, once it has begun
    turn: Turn | None = None  # that it is in; None before the first and between two
    most: int = 0  # speech ids at which this turn ends
    position: int = 0
    spoken: int = 0
    step: int = 0
    fallbacks: int = 0
    key_data: np.ndarray = field(init=False)  # uint32 (2,)

    def __post_init__(self) -> None:
        self.key_data = np.asarray(jax.random.key_data(self.key))

    @property
    def waits(self) -> bool:
        """Whether it needs more text."""
        return self.turn is None and self.words.waits

    @property
    def place(self) -> int:
        """Its index, of a seat that has begun."""
        if self.index is None:
            raise ValueError("This seat has no place on the device yet.")
        return self.index

    def begin(self) -> Drawn | None:
        """Goes to the next turn, where there is one; what is told of a seat that ends instead."""
        turn = self.words.next_turn(self.spoken)
        if turn is None:
            return None
        try:
            self._check_room(len(turn.pending))
        except CosyError as error:
            return self._told([], ended=True, error=error)
        if turn.max_new <= self.spoken:
            return self._told([], ended=True)
        room = self.settings.slots - 1 - self.position - len(turn.pending)
        self.turn, self.most = turn, min(turn.max_new, self.spoken + room)
        return None

    def context(self, turn: Turn) -> Context:
        """The turn's ids as what a row begins with."""
        ids, is_text = zip(*turn.pending, strict=True)
        return Context(TokenRow(np.asarray(ids, np.int32), np.asarray(is_text)), self.key, 0, 1)

    def read(self, turn: Turn, ids: list[int], step: int, fallbacks: int, done: bool) -> Drawn | None:
        """Takes down what a block gave the row, and what there is to tell of it: None where nothing."""
        self.position, self.spoken = self.position + len(ids), self.spoken + len(ids)
        self.step, self.fallbacks = step, fallbacks
        if not done:
            return self._told(ids)
        self.turn = None
        if self.spoken == self.most < turn.max_new:
            return self._told(ids, ended=True, error=_no_room(self.settings))
        return self._told(ids, ended=turn.last)

    def _told(self, ids: list[int], ended: bool = False, error: CosyError | None = None) -> Drawn | None:
        return Drawn(self.tag, ids, ended, self.fallbacks, error) if ids or ended else None

    def _check_room(self, length: int) -> None:
        if not self.position:
            check_begun(length, self.settings)
        elif self.position + max(padded(length), length + DRAWN) > self.settings.slots:
            raise _no_room(self.settings)


def padded(length: int) -> int:
    """Positions that are written where `length` ids are appended."""
    return -(-length // APPENDED) * APPENDED


def check_begun(length: int, settings: RowSettings) -> None:
    """CosyError for a row that cannot begin with so many ids."""
    buckets.bucket(length, settings.contexts, "The prompt with the text")
    if length + DRAWN > settings.slots:
        raise _no_room(settings)


def _no_room(settings: RowSettings) -> CosyError:
    return CosyError(f"Prompt, text and speech are more than the {settings.slots} positions of a row: split the text.")
