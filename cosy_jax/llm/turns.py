"""What one row runs and draws next, whether its text is whole or still arriving: the host's side of `rows`.

A turn is ids that are run and speech ids that may then be drawn. A whole text is a single turn; a text that arrives has
the turns of `bistream`.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.bistream import (
    NO_LIMIT,
    BistreamContext,
    Ids,
    after_turn,
    begin,
    check_text_ids,
    finish,
    next_turn,
    take,
)
from cosy_jax.llm.context import Context
from cosy_jax.llm.policy import DecodePolicy


@dataclass(frozen=True)
class Turn:
    """Ids to run, and when the drawing after them ends (`state.Limits` of one row)."""

    pending: Ids
    after_fill: bool  # the fill id counts as the last one drawn
    min_new: int
    max_new: int  # of all the row's speech ids
    may_fill: bool
    last: bool  # the row ends with it


class Words(Protocol):
    """Where a row's turns come from."""

    @property
    def waits(self) -> bool:
        """Whether nothing has come in that another turn could be made of."""

    def next_turn(self, spoken: int) -> Turn | None:
        """The next turn of a row with `spoken` speech ids; None where it needs more text."""


@dataclass(frozen=True)
class WholeText:
    """One turn, known from the start; CosyError, where it is made, for an id outside its vocabulary."""

    context: Context
    config: LLMConfig

    def __post_init__(self) -> None:
        ids, is_text = self.context.row
        sizes = np.where(is_text, self.config.text_vocab_size, self.config.speech_vocab_size)
        if len(bad := np.flatnonzero((ids < 0) | (ids >= sizes))):
            raise CosyError(
                f"Id {ids[bad[0]]} is outside the vocabulary of {sizes[bad[0]]}: use the model's tokenizers."
            )

    @property
    def waits(self) -> bool:
        return False

    def next_turn(self, spoken: int) -> Turn:
        ids, is_text = (column.tolist() for column in self.context.row)
        pending = tuple(zip(ids, is_text, strict=True))
        return Turn(pending, False, self.context.min_new, self.context.max_new, may_fill=False, last=True)


class ArrivingText:
    """The turns of `bistream_tokens`, from text ids that come in whenever they do. How they are cut into pieces changes
    nothing: they are taken one by one."""

    def __init__(self, context: BistreamContext, policy: DecodePolicy) -> None:
        """CosyError for a prompt text without its end or with an id outside the vocabulary, and for `reference_slips`,
        under which the cut into pieces matters."""
        if policy.reference_slips:
            raise CosyError("reference_slips is for a text that arrives to one stream alone: use bistream_tokens.")
        self._policy, self._layout = policy, begin(context, policy)
        self._arrived: deque[int] = deque()
        self._count, self._ended = 0, False

    @property
    def waits(self) -> bool:
        return not self._arrived and not self._ended

    def say(self, ids: Iterable[int]) -> None:
        """More text; CosyError, and none of it taken, for an id outside the vocabulary or after the end."""
        ids = [int(i) for i in ids]
        if self._ended:
            raise CosyError("The text of this stream has ended: say more in another one.")
        check_text_ids(ids, self._policy.config)
        self._arrived.extend(ids)
        self._count += len(ids)

    def end(self) -> None:
        """No more text comes; CosyError where there was none."""
        if not self._count:
            raise CosyError("The text to speak is empty: pass at least one word.")
        self._ended = True

    def next_turn(self, spoken: int) -> Turn | None:
        while self._arrived:
            self._layout = take(self._layout, [self._arrived.popleft()])
            if (turn := next_turn(self._layout)) is not None:
                # What is drawn matters to the layout under reference_slips only.
                self._layout = after_turn(turn, [])
                most = spoken + turn.until_fill
                return Turn(turn.pending, turn.filled, NO_LIMIT, most, may_fill=True, last=False)
        if not self._ended:
            return None
        rest = finish(self._layout, self._policy)
        most = int(self._count * self._policy.sampling.max_ratio)
        return Turn(rest.pending, rest.filled, 0, most, may_fill=False, last=True)
