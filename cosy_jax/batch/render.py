"""Third stage: speech tokens to mel and audio, in batches of one length, and parts to lines."""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from cosy_jax.audio.speed import change_speed
from cosy_jax.batch.channel import Channel
from cosy_jax.batch.collect import Assembly
from cosy_jax.batch.grouping import Failure, Grouping, halving
from cosy_jax.batch.in_order import in_order
from cosy_jax.batch.messages import AudioPart, DecodedPart, FailedPart, Finished, MelPart
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.flow.inputs import flow_bucket
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer

P = TypeVar("P", DecodedPart, MelPart)
Q = TypeVar("Q", MelPart, AudioPart)


def render(
    decoded: Channel[DecodedPart | FailedPart],
    ready: Channel[Finished],
    synthesizer: Synthesizer,
    rows: int,
    at_once: int,
    stats: Stats,
) -> None:
    """Mel and audio for each part, so many batches of each at once; a line is handed to `ready` when its last part is
    rendered or has failed."""
    renderer, assembly = _Renderer(synthesizer, rows, at_once, stats), Assembly(synthesizer.config.sample_rate)
    for part in renderer.audio(renderer.mels(decoded)):
        stats.segments_done += part.part.utterance.parts > 1
        finished = assembly.add(part)
        if finished is not None:
            ready.put(finished)
    ready.close()


@dataclass(frozen=True)
class _Renderer:
    """Flow and vocoder have batches of their own: the one's lengths count the prompt, the other's the speed."""

    synthesizer: Synthesizer
    rows: int
    at_once: int
    stats: Stats
    _counting: threading.Lock = field(default_factory=threading.Lock)

    def mels(self, parts: Iterable[DecodedPart | FailedPart]) -> Iterator[MelPart | FailedPart]:
        """The flow's results, as its batches are due."""

        def result(decoded: DecodedPart, mel: np.ndarray, seconds: float) -> MelPart:
            return MelPart(decoded, change_speed(mel, decoded.part.utterance.line.request.speed), seconds)

        groups = _grouped(parts, self.rows, lambda decoded: flow_bucket(_sequence_length(decoded)))
        return self._computed(groups, Stage.FLOW, self._solve, result)

    def audio(self, parts: Iterable[MelPart | FailedPart]) -> Iterator[AudioPart | FailedPart]:
        """Likewise the vocoder's."""
        groups = _grouped(parts, self.rows, lambda rendered: self.synthesizer.mel_bucket(len(rendered.mel)))
        return self._computed(groups, Stage.VOCODER, self._vocode, AudioPart)

    def _computed(
        self,
        groups: Iterable[list[P] | FailedPart],
        stage: Stage,
        work: Callable[[list[P]], list[np.ndarray]],
        result: Callable[[P, np.ndarray, float], Q],
    ) -> Iterator[Q | FailedPart]:
        def computed(group: list[P] | FailedPart) -> tuple[list[Q | FailedPart], float]:
            if isinstance(group, FailedPart):
                return [group], 0.0
            start = time.perf_counter()
            ends = list(halving(group, work))
            seconds = time.perf_counter() - start
            return [
                FailedPart(end.item.part, end.error)
                if isinstance(end, Failure)
                else result(end.item, end.value, seconds)
                for end in ends
            ], seconds

        for parts, seconds in in_order(computed, groups, self.at_once):
            self.stats.busy[stage] += seconds
            yield from parts

    def _solve(self, group: list[DecodedPart]) -> list[np.ndarray]:
        ratio, lengths = self.synthesizer.config.flow.token_mel_ratio, [_sequence_length(each) for each in group]
        mels = self.synthesizer.mels([(each.tokens, each.part.utterance.voice.prompt) for each in group])
        with self._counting:
            self.stats.flow_frames += ratio * sum(lengths)
            self.stats.flow_padded += ratio * flow_bucket(max(lengths)) * self.synthesizer.devices.padded(len(group))
        return mels

    def _vocode(self, group: list[MelPart]) -> list[np.ndarray]:
        lengths, rows = [len(each.mel) for each in group], self.synthesizer.devices.padded(len(group))
        audio = self.synthesizer.vocode_all([each.mel for each in group])
        with self._counting:
            self.stats.vocoder_frames += sum(lengths)
            self.stats.vocoder_padded += self.synthesizer.mel_bucket(max(lengths)) * rows
        return audio


def _grouped(parts: Iterable[P | FailedPart], rows: int, bucket: Callable[[P], int]) -> Iterator[list[P] | FailedPart]:
    """Batches of parts as they are due; a part that has failed does not wait."""
    grouping = Grouping[P](rows)
    for part in parts:
        if isinstance(part, FailedPart):
            yield part
            continue
        try:
            size = bucket(part)
        except CosyError as error:  # longer than anything the stage takes: that line's fault alone
            yield FailedPart(part.part, str(error))
            continue
        yield from grouping.add(size, part)
    yield from grouping.rest()


def _sequence_length(decoded: DecodedPart) -> int:
    """Speech tokens with the prompt's."""
    return len(decoded.part.utterance.voice.prompt.speech_tokens) + len(decoded.tokens)
