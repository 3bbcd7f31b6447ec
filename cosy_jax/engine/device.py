"""What computes for the scheduler. Nothing here decides anything, so that a test can put a simulated one in its
place."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import numpy as np

from cosy_jax.audio.speed import change_speed
from cosy_jax.engine.decoding import BLOCK
from cosy_jax.engine.limits import Budget, Limits
from cosy_jax.flow.tracks import Tracks
from cosy_jax.llm.rows import DecodeRows, RowSettings
from cosy_jax.nn import backend, buckets
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.streaming import VocoderState, VocoderStep, extend, init_state

Given = TypeVar("Given")
Result = TypeVar("Result")

_TEXT_IDS = 512  # of a voice's transcript, an instruction and a segment of a text


class Device:
    """The stages of a synthesizer, for many requests at a time; one thread calls."""

    def __init__(self, synthesizer: Synthesizer, budget: Budget, limits: Limits) -> None:
        self._synthesizer, config = synthesizer, synthesizer.config
        self.rows = DecodeRows(
            synthesizer.params("llm"),
            synthesizer.policy(),
            row_settings(budget, limits, config.token_rate),
            place=synthesizer.devices.rows,
        )
        self.tracks = Tracks(
            synthesizer.params("flow"),
            config.flow,
            synthesizer.precision,
            budget.pages,
            budget.slots,
            limits.left_chunks,
            place=synthesizer.devices.heads,
        )

        # Two programs of small arrays keep two cores busy where one does not; a GPU computes one after the other, and
        # the pieces, which somebody waits for, come first.
        self._second = ThreadPoolExecutor(1, "beside") if backend.host_platform() == "cpu" else None

    @property
    def side_by_side(self) -> bool:
        """Whether something can be computed `beside` the flow."""
        return self._second is not None

    def beside(self, compute: Callable[[Given], Result], given: Given) -> Callable[[], Result]:
        """Computes while other things are computed, one thing after the other, or where that is of no use, afterwards;
        gives what waits for the result."""
        if self._second is None:
            return partial(compute, given)
        return self._second.submit(compute, given).result

    def close(self) -> None:
        """Ends the threads."""
        if self._second:
            self._second.shutdown()

    def silence(self) -> VocoderState:
        """The vocoder's state before an utterance."""
        return init_state(self._synthesizer.config.vocoder)

    def vocode(self, steps: Sequence[VocoderStep]) -> list[tuple[np.ndarray, VocoderState]]:
        """Audio float32 (S,) of each piece, and the states after them."""
        return extend(self._synthesizer.params("vocoder"), steps, self._synthesizer.config)

    def speak(self, items: Sequence[tuple[np.ndarray, Prompt, float]]) -> list[np.ndarray]:
        """Audio float32 (S,) of whole utterances: tokens int (L,), prompt and speed of each."""
        mels = self._synthesizer.mels([(tokens, prompt) for tokens, prompt, _ in items])
        return self._synthesizer.vocode_all(
            [change_speed(mel, speed) for mel, (*_, speed) in zip(mels, items, strict=True)]
        )


def row_settings(budget: Budget, limits: Limits, rate: int) -> RowSettings:
    """Sizes of the language model's programs, for recordings and speech within the limits, of `rate` tokens a
    second."""
    context = buckets.bucket(int(limits.recording * rate) + _TEXT_IDS, buckets.LM_CONTEXT, "A voice's recording")
    most = context + int(limits.seconds * rate) + BLOCK + 1
    slots = buckets.bucket(most, buckets.LM_SLOTS, "A voice's recording with the speech")
    return RowSettings(row_counts(budget.streams), block=BLOCK, context=context, slots=slots)


def row_counts(streams: int) -> tuple[int, ...]:
    """Rows of the language model that programs are compiled for: 1, 4, 16 ... and all of them."""
    return tuple(sorted({*_powers(streams), streams}))


def _powers(below: int) -> Iterator[int]:
    count = 1
    while count < below:
        yield count
        count *= 4
