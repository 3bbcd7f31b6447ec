"""Speech ids while the text is still arriving (reference: cosyvoice/llm/llm.py, Qwen2LM.inference_bistream).

B batch (1 here), T appended positions, S cache slots. The row is laid out as the model was trained on it:

    sos, instruction up to <|endofprompt|>, 5 text, 15 speech, 5 text, 15 speech, ..., rest of the text, task, speech

with the release's 5 and 15, which are `LLMConfig.text_turn` and `speech_turn`. The prompt's transcript and recording
fill the first turns. A turn of speech ends with a fill id, drawn by the model or taken for drawn after the turn's last
id; the fill id itself is not part of the row. Text ids beyond the turn wait on the host.
"""

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.config import LLMConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.decode import append
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.silence import cap_blocks
from cosy_jax.llm.state import DecodeState, Limits, empty, resize
from cosy_jax.llm.stream import BlockDecoder, check_block, is_done
from cosy_jax.nn import buckets

BLOCK = 15  # speech ids that are handed on at a time
NO_LIMIT = np.iinfo(np.int32).max

Ids = tuple[tuple[int, bool], ...]  # each with whether it is a text id


@dataclass(frozen=True)
class BistreamContext:
    """What comes before the text: ids of the prompt text, end_of_prompt among them, and speech ids int (L,)."""

    text_ids: Sequence[int]
    speech_ids: np.ndarray
    end_of_prompt: int


@dataclass(frozen=True)
class Layout:
    """The host's side of a row: what to run next, and what waits for its turn."""

    pending: Ids  # to be run before the next draw
    text: tuple[int, ...]  # text ids that wait
    speech: tuple[int, ...]  # prompt speech ids that wait
    until_fill: int  # speech ids left in this turn
    owes_text: bool  # a turn of text comes before the next speech id
    text_turn: int  # ids of a turn
    speech_turn: int
    filled: bool = False  # a fill id was drawn last
    last: Ids = ()  # what was run last


def bistream_tokens(
    params: dict,
    text: Iterable[Sequence[int]],
    context: BistreamContext,
    key: jax.Array,
    policy: DecodePolicy,
    block: int = BLOCK,
) -> Iterator[list[int]]:
    """Yields speech ids, silence capped, in blocks of at most `block`, as soon as the text so far allows.

    `text` yields pieces of the text to speak, as ids; how it is cut into pieces does not change the speech ids. What
    it raises passes through, after the ids before. Arguments and errors are otherwise those of `bistream_blocks`.
    """
    # Id by id, as the reference's front end hands them on.
    singly = ([i] for piece in text for i in piece)
    return cap_blocks(
        bistream_blocks(BlockDecoder(params, key, policy), singly, context, block), policy.config.silent_ids
    )


def bistream_blocks(
    decoder: BlockDecoder, text: Iterable[Sequence[int]], context: BistreamContext, block: int = BLOCK
) -> Iterator[list[int]]:
    """`bistream_tokens` without the cap on silence; each piece of text allows one turn of speech at most, as in the
    reference, so that the cut into pieces matters.

    Stop ids are masked until the text has ended; all speech is at most sampling.max_ratio ids a text id (the
    reference bounds neither). The policy's `reference_slips` does three things as the reference does, which leave the
    layout of the training: without prompt speech the first turn of speech comes before any text; when the text ends,
    the ids run last are run once more; and prompt speech still waiting then is dropped.

    Raises CosyError: at the call, for a prompt text without end_of_prompt and a block size below 1; while iterating,
    for an empty text, a text id outside the vocabulary, and a row longer than the largest cache.
    """
    check_block(block)
    return _speak(decoder, text, begin(context, decoder.policy), block)


def begin(context: BistreamContext, policy: DecodePolicy) -> Layout:
    """The row before any text arrived; CosyError where the prompt text lacks its end."""
    ids = tuple(context.text_ids)
    if context.end_of_prompt not in ids:
        raise CosyError("The prompt text lacks <|endofprompt|>, without which the model repeats it: add it.")
    check_text_ids(ids, policy.config)
    cut = ids.index(context.end_of_prompt) + 1
    speech, turn = tuple(int(i) for i in context.speech_ids), policy.config.speech_turn
    return Layout(
        pending=((policy.config.sos_id, False), *_as_text(ids[:cut])),
        text=ids[cut:],
        speech=speech,
        until_fill=turn - len(speech) % turn,
        owes_text=not speech and not policy.reference_slips,
        text_turn=policy.config.text_turn,
        speech_turn=turn,
    )


def take(layout: Layout, piece: Sequence[int]) -> Layout:
    """More text; as many turns of the prompt as the text now allows become pending."""
    layout = replace(layout, text=(*layout.text, *piece))
    while layout.speech and len(layout.text) >= layout.text_turn:
        layout = _place_turn(layout)
    return layout


def next_turn(layout: Layout) -> Layout | None:
    """The layout with all pending that comes before the next turn of speech; None where that needs more text."""
    if layout.speech:
        return None
    if not layout.owes_text:
        return layout
    return _place_turn(layout) if len(layout.text) >= layout.text_turn else None


def after_turn(layout: Layout, ids: list[int]) -> Layout:
    """The layout once its pending ids were run and the turn's speech ids drawn."""
    last: Ids = ((ids[-1], False),) if ids else layout.pending
    return replace(layout, pending=(), last=last, until_fill=layout.speech_turn, owes_text=True, filled=True)


def finish(layout: Layout, policy: DecodePolicy) -> Layout:
    """The layout with all pending that comes before the last speech ids, once the text has ended."""
    before, behind = (layout.last, ()) if policy.reference_slips else ((), layout.speech)
    rest: Ids = (*_as_text(layout.text), (policy.config.task_id, False), *((i, False) for i in behind))
    return replace(layout, pending=(*before, *layout.pending, *rest), text=(), speech=())


def _place_turn(layout: Layout) -> Layout:
    reads, speaks = layout.text_turn, layout.speech_turn
    speech: Ids = tuple((i, False) for i in layout.speech[:speaks])
    pending = (*layout.pending, *_as_text(layout.text[:reads]), *speech)
    return replace(layout, pending=pending, text=layout.text[reads:], speech=layout.speech[speaks:])


def _as_text(ids: Iterable[int]) -> Ids:
    return tuple((i, True) for i in ids)


def check_text_ids(ids: Iterable[int], config: LLMConfig) -> None:
    """CosyError for a text id outside the vocabulary."""
    for i in ids:
        if not 0 <= i < config.text_vocab_size:
            raise CosyError(f"Text id {i} is outside the vocabulary of {config.text_vocab_size}: use its tokenizer.")


def _speak(decoder: BlockDecoder, text: Iterable[Sequence[int]], layout: Layout, block: int) -> Iterator[list[int]]:
    policy, slots = decoder.policy, buckets.LM_ARRIVING[0]
    state = empty(policy, policy.cache(1, slots), slots)
    text_ids = spoken = 0
    for piece in text:
        check_text_ids(piece, policy.config)
        text_ids += len(piece)
        layout = take(layout, piece)
        if (turn := next_turn(layout)) is None:
            continue
        state = _run_pending(decoder, state, turn)
        state, ids = yield from _draw_turn(decoder, state, _limits(True), turn.until_fill, block)
        layout = after_turn(turn, ids)
        spoken += len(ids)
    if not text_ids:
        raise CosyError("The text to speak is empty: pass at least one word.")
    state = _run_pending(decoder, state, finish(layout, policy))
    most = int(text_ids * policy.sampling.max_ratio) - spoken
    yield from _draw_turn(decoder, state, _limits(False), most, block)


def _limits(more_text: bool) -> Limits:
    """While more text may come only a fill id ends a turn; then any stop id does."""
    masked = np.asarray([NO_LIMIT if more_text else 0], np.int32)
    most = np.asarray([NO_LIMIT], np.int32)
    return Limits(jnp.asarray(masked), jnp.asarray(most), jnp.asarray(np.asarray([more_text])))


def _draw_turn(
    decoder: BlockDecoder, state: DecodeState, limits: Limits, most: int, block: int
) -> Generator[list[int], None, tuple[DecodeState, list[int]]]:
    """Yields at most `most` speech ids in blocks; returns the state and all of them."""
    turn: list[int] = []
    while len(turn) < most and not is_done(state):
        steps = min(block, most - len(turn))
        # The loop runs the id it has drawn last, kept or not: one slot more.
        state, ids = decoder.draw(_with_room(state, steps + 1), limits, steps)
        turn += ids
        yield ids
    return state, turn


def _run_pending(decoder: BlockDecoder, state: DecodeState, layout: Layout) -> DecodeState:
    length = len(layout.pending)
    size = buckets.bucket(length, buckets.LM_APPENDED, "The prompt with the text")
    ids, is_text = np.zeros((1, size), np.int32), np.zeros((1, size), bool)
    ids[0, :length], is_text[0, :length] = zip(*layout.pending, strict=True)
    return append(
        decoder.params,
        _with_room(state, size),
        jnp.asarray(ids),
        jnp.asarray(is_text),
        jnp.asarray(np.asarray([length], np.int32)),
        jnp.asarray(np.asarray([layout.filled])),
        policy=decoder.policy,
    )


def _with_room(state: DecodeState, positions: int) -> DecodeState:
    """The state with at least `positions` free slots. Ids drawn never outnumber the positions of their row, so that
    the same number of columns holds them."""
    needed = int(np.asarray(state.position)[0]) + positions
    slots = buckets.bucket(needed, buckets.LM_ARRIVING, "The prompt with the text and its speech")
    return state if slots <= state.tokens.shape[1] else resize(state, slots=slots, bucket=slots)
