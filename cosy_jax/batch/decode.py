"""Second stage: requests to speech tokens, by continuous batching."""

import threading
import time
from collections.abc import Iterator

import numpy as np

from cosy_jax.batch.channel import Channel
from cosy_jax.batch.stats import Stats
from cosy_jax.batch.utterance import Part, SpokenPart
from cosy_jax.errors import CosyError
from cosy_jax.llm.continuous import Batching, Block, ContinuousDecoder, Job
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer, without_long_silence


def decode(
    parts: Channel[Part],
    spoken: Channel[SpokenPart],
    synthesizer: Synthesizer,
    batching: Batching,
    stop: threading.Event,
    stats: Stats,
) -> None:
    """Speech tokens for each part, handed to `spoken` as rows end.

    Once `stop` is set, only utterances that have begun go on.
    """
    decoder = ContinuousDecoder(
        synthesizer.params("llm"),
        synthesizer.config.llm,
        synthesizer.config.sampling,
        batching,
        synthesizer.precision,
        place=synthesizer.devices.rows,
    )
    began, handing = time.perf_counter(), 0.0

    def on_block(block: Block) -> None:
        stats.add_block(block.steps * batching.rows, block.draws)
        stats.busy[Stage.LANGUAGE_MODEL] = time.perf_counter() - began - handing - parts.waited

    for result in decoder.run(_jobs(parts, stop), on_block):
        start, part = time.perf_counter(), result.tag
        part.utterance.spend(Stage.LANGUAGE_MODEL, start - part.started)
        part.utterance.fallbacks += result.fallbacks
        spoken.put(SpokenPart(part.utterance, part.index, _tokens(result.ids)))
        handing += time.perf_counter() - start
    spoken.close()


def _tokens(ids: np.ndarray) -> np.ndarray | Exception:
    try:
        return without_long_silence(ids)
    except CosyError as error:
        return error


def _jobs(parts: Channel[Part], stop: threading.Event) -> Iterator[Job]:
    for part in parts:
        if stop.is_set() and not part.utterance.begun:
            continue
        part.utterance.begun = True
        part.started = time.perf_counter()
        yield Job(part.utterance.requests[part.index], part)
