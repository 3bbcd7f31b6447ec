"""Many requests in one set of rows, whole texts and texts that arrive, driven block by block by one thread.

B rows on the device. A row is given on when its request ends or is dropped; one that waits for text keeps its row and
is done on the device meanwhile. The speech ids of a request are those of the request alone (`stream_tokens`,
`bistream_tokens`, before their cap on silence), whatever is beside it and however blocks are cut.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from cosy_jax.errors import CosyError
from cosy_jax.llm.bistream import BistreamContext
from cosy_jax.llm.context import Context
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.row_programs import run_all
from cosy_jax.llm.row_state import APPENDED, Orders, Report, RowSettings, RowState
from cosy_jax.llm.seat import Drawn, Seat, check_begun, padded
from cosy_jax.llm.turns import ArrivingText, Turn, WholeText, Words


@dataclass(frozen=True)
class RowCounts:
    """How full the rows are, and what was done in all."""

    free: int  # requests that still find a seat
    seated: int
    waiting: int  # of the seated: for text
    rows: int  # on the device at present
    slots: int  # of each of them
    steps: int  # of the compiled loop
    draws: int  # that requests made in them


class DecodeRows:
    """The requests that are decoded together. `place` puts an array whose first axis is one of the settings' numbers of
    rows on the devices. One thread at a time calls; only `advance` and `warm` compute. What the device raises in
    `advance` loses every row, since the state was donated: make other rows."""

    def __init__(
        self,
        params: dict,
        policy: DecodePolicy,
        settings: RowSettings | None = None,
        place: Callable[[Any], Any] = lambda tree: tree,
    ) -> None:
        self._policy, self._settings = policy, settings or RowSettings()
        self._device = RowState(params, policy, self._settings, place)
        self._seats: dict[Any, Seat] = {}
        self._steps = self._draws = 0

    @property
    def counts(self) -> RowCounts:
        """Plain numbers, for whoever exports them."""
        waiting, seated = sum(seat.waits for seat in self._seats.values()), len(self._seats)
        device = self._device
        return RowCounts(self._free, seated, waiting, device.count, device.slots, self._steps, self._draws)

    @property
    def _free(self) -> int:
        return self._settings.rows[-1] - len(self._seats)

    def check(self, context: Context) -> None:
        """CosyError for a context that `add` refuses however many seats are free; any thread may ask."""
        WholeText(context, self._policy.config)
        check_begun(len(context.row.ids), self._settings)

    def add(self, requests: Iterable[tuple[Any, Context]]) -> None:
        """Seats whole texts, each under a tag; those of one length are prefilled together in the next `advance`.

        Raises CosyError, and seats none of them, for what `check` refuses, a tag that is taken and more requests than
        seats.
        """
        seats = []
        for tag, context in requests:
            self.check(context)
            seats.append(self._seat(tag, WholeText(context, self._policy.config), context.key))
        self._sit(seats)

    def open(self, tag: Any, context: BistreamContext, key: jax.Array) -> None:
        """Seats a request whose text arrives (`say`, `end_text`). Raises CosyError as `add` does, for a prompt text
        without its end, and under `reference_slips`."""
        self._sit([self._seat(tag, ArrivingText(context, self._policy), key)])

    def say(self, tag: Any, ids: Sequence[int]) -> None:
        """More text ids. Raises CosyError, and takes none of them, for one outside the vocabulary, after `end_text`,
        and for a tag that none is seated under."""
        self._arriving(tag).say(ids)

    def end_text(self, tag: Any) -> None:
        """No more text comes. Raises CosyError where none came, and for a tag that none is seated under."""
        self._arriving(tag).end()

    def drop(self, tag: Any) -> None:
        """Frees the seat, whatever it is at; a tag that none is seated under may have ended, and is let pass."""
        self._seats.pop(tag, None)

    def advance(self, steps: int, until_done: int | None = None) -> list[Drawn]:
        """At most `steps` draws of each request that has what to speak, fewer where `until_done` of them have ended or
        wait; what came of it, requests without news left out.

        An arriving text stops at the end of each turn. A request that outgrows the settings' context or slots ends
        with an error. Raises CosyError for steps below 1 or above the settings' block.
        """
        if not 1 <= steps <= self._settings.block:
            raise CosyError(f"A block cannot have {steps} draws: ask for 1 to {self._settings.block}.")
        begun, news = self._begin()
        self._settle(begun)
        self._run(begun)
        turns = [(seat, seat.turn) for seat in self._seats.values() if seat.turn]
        if turns:
            report = self._draw(turns, steps, until_done)
            news += filter(None, [self._read(seat, turn, report) for seat, turn in turns])
        for drawn in news:
            if drawn.ended:
                del self._seats[drawn.tag]
        return news

    def warm(self) -> Iterator[tuple[int, int]]:
        """Runs every program that the settings can need, on rows of its own, and yields how many parts of how many are
        done. Afterwards nothing compiles."""
        return run_all(self._device.anew(), self._settings)

    def _seat(self, tag: Any, words: Words, key: jax.Array) -> Seat:
        return Seat(tag, words, key, self._settings)

    def _sit(self, seats: list[Seat]) -> None:
        if len(seats) > self._free:
            raise CosyError(
                f"{len(seats)} more requests do not fit {self._free} free rows: wait until some have ended."
            )
        new = {seat.tag: seat for seat in seats}
        if len(new) < len(seats) or new.keys() & self._seats.keys():
            raise CosyError("Two requests cannot be decoded under one tag: give each its own.")
        self._seats |= new

    def _arriving(self, tag: Any) -> ArrivingText:
        seat = self._seats.get(tag)
        if seat is None or not isinstance(seat.words, ArrivingText):
            raise CosyError(f"No request with arriving text is decoded under {tag!r}: open one first.")
        return seat.words

    def _begin(self) -> tuple[list[tuple[Seat, Turn]], list[Drawn]]:
        """Seats with a new turn, and what is told of those that end without one."""
        between = [seat for seat in self._seats.values() if seat.turn is None]
        ended = [drawn for seat in between if (drawn := seat.begin())]
        return [(seat, seat.turn) for seat in between if seat.turn], ended

    def _settle(self, begun: list[tuple[Seat, Turn]]) -> None:
        """A place on the device for each seat that begins, and no more places there than are needed."""
        placed = [seat for seat in self._seats.values() if seat.index is not None]
        fresh = [seat for seat, _ in begun if seat.index is None]
        count = next(count for count in self._settings.rows if count >= len(placed) + len(fresh))
        if count != self._device.count:
            self._device.recount(count, [seat.place for seat in placed])
            for index, seat in enumerate(placed):
                seat.index = index
        free = sorted(set(range(count)) - {seat.index for seat in placed})
        for seat, index in zip(fresh, free, strict=False):
            seat.index = index

    def _run(self, begun: list[tuple[Seat, Turn]]) -> None:
        """Runs the ids of the new turns, those of one size together."""
        groups: dict[int, list[tuple[Seat, Turn]]] = {}
        for seat, turn in begun:
            # Rows begin with a size of context, and go on with APPENDED ids or, each on its own, with more.
            size = -padded(len(turn.pending)) if seat.position else seat.context(turn).bucket()
            groups.setdefault(size, []).append((seat, turn))
        for size, group in groups.items():
            together = 1 if size < -APPENDED else self._settings.together[-1]
            for first in range(0, len(group), together):
                self._run_together(group[first : first + together])

    def _run_together(self, group: list[tuple[Seat, Turn]]) -> None:
        places = [seat.place for seat, _ in group]
        if group[0][0].position == 0:
            self._device.start([seat.context(turn) for seat, turn in group], places)
        else:
            needed = max(seat.position + padded(len(turn.pending)) for seat, turn in group)
            self._device.refit(max(needed, self._device.slots))
            self._device.append([turn.pending for _, turn in group], [turn.after_fill for _, turn in group], places)
        for seat, turn in group:
            seat.position += len(turn.pending)

    def _draw(self, turns: list[tuple[Seat, Turn]], steps: int, until_done: int | None) -> Report:
        self._fit(steps)
        count = self._device.count
        orders = Orders.none(count)
        for seat, turn in turns:
            at = seat.place
            orders.keys[at], orders.before[at] = seat.key_data, seat.step
            orders.min_new[at], orders.max_new[at], orders.may_fill[at] = turn.min_new, seat.most, turn.may_fill
        enough = count if until_done is None else min(count, count - len(turns) + until_done)
        report = self._device.advance(orders, steps, enough)
        drawn = [int(report.step[seat.place]) - seat.step for seat, _ in turns]
        self._steps, self._draws = self._steps + max(drawn), self._draws + sum(drawn)
        return report

    def _fit(self, steps: int) -> None:
        """The slots that the next block needs, and no more: attention costs what the cache holds."""
        # The loop runs the id it has drawn last, kept or not, and one of each row that is done: a slot more.
        placed = [seat for seat in self._seats.values() if seat.index is not None]
        needed = max(seat.position + (steps if seat.turn else 0) for seat in placed) + 1
        self._device.refit(min(needed, self._settings.slots))

    def _read(self, seat: Seat, turn: Turn, report: Report) -> Drawn | None:
        ids, at = report.ids[seat.place], seat.place
        return seat.read(
            turn, ids[ids >= 0].tolist(), int(report.step[at]), int(report.fallbacks[at]), bool(report.done[at])
        )
