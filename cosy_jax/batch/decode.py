"""Second stage: contexts to speech tokens, by continuous batching."""

import threading
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cosy_jax.batch.channel import Channel
from cosy_jax.batch.messages import DecodedPart, FailedPart, Part, Utterance
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.llm.continuous import Batching, Block, ContinuousDecoder, Decoded, Job
from cosy_jax.llm.silence import without_long_silence
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer


@dataclass(frozen=True)
class _Seated:
    """A part that is being decoded."""

    part: Part
    started: float  # when it got its row


def decode(
    parts: Channel[Part],
    decoded: Channel[DecodedPart | FailedPart],
    synthesizer: Synthesizer,
    batching: Batching,
    stop: threading.Event,
    stats: Stats,
) -> None:
    """Speech tokens for each part, handed to `decoded` as rows end.

    Once `stop` is set, only utterances that have begun go on.
    """
    decoder = ContinuousDecoder(
        synthesizer.params("llm"), synthesizer.policy(), batching, place=synthesizer.devices.rows
    )
    began, handing = time.perf_counter(), 0.0

    def on_block(block: Block) -> None:
        stats.add_block(block.steps * batching.rows, block.draws)
        stats.busy[Stage.LANGUAGE_MODEL] = time.perf_counter() - began - handing - parts.waited

    for result in decoder.run(_jobs(parts, stop), on_block):
        start = time.perf_counter()
        decoded.put(_ended(result, start, synthesizer.config.llm.silent_ids))
        handing += time.perf_counter() - start
    decoded.close()


def _ended(result: Decoded, now: float, silent: Collection[int]) -> DecodedPart | FailedPart:
    seated: _Seated = result.tag
    try:
        tokens = without_long_silence(result.ids, silent)
    except CosyError as error:
        return FailedPart(seated.part, str(error))
    return DecodedPart(seated.part, tokens, result.fallbacks, now - seated.started)


def _jobs(parts: Channel[Part], stop: threading.Event) -> Iterator[Job]:
    begun: Utterance | None = None  # the last one is enough: the parts of a line follow each other
    for part in parts:
        if stop.is_set() and part.utterance is not begun:
            continue
        begun = part.utterance
        yield Job(part.context, _Seated(part, time.perf_counter()))
