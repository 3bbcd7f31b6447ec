"""Third stage: speech tokens to mel and audio, in batches of one length."""

import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from cosy_jax.audio.speed import change_speed
from cosy_jax.batch.channel import Channel
from cosy_jax.batch.grouping import Grouping, halving
from cosy_jax.batch.stats import Stats
from cosy_jax.batch.utterance import MelPart, Ready, SpokenPart, Utterance
from cosy_jax.flow.inputs import flow_bucket
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer

P = TypeVar("P", SpokenPart, MelPart)


def render(
    spoken: Channel[SpokenPart], ready: Channel[Ready], synthesizer: Synthesizer, rows: int, stats: Stats
) -> None:
    """Mel and audio for each part; a line is handed to `ready` when its last part is rendered or has failed."""
    renderer = _Renderer(ready, synthesizer, rows, stats)
    for part in spoken:
        renderer.take(part)
    renderer.flush()
    ready.close()


class _Renderer:
    """Flow and vocoder have batches of their own: the one's lengths count the prompt, the other's the speed."""

    def __init__(self, ready: Channel[Ready], synthesizer: Synthesizer, rows: int, stats: Stats) -> None:
        self.ready, self.synthesizer, self.stats = ready, synthesizer, stats
        self.for_flow, self.for_vocoder = Grouping[SpokenPart](rows), Grouping[MelPart](rows)

    def take(self, part: SpokenPart) -> None:
        """A part as it comes from the language model, and all batches that are due with it."""
        if isinstance(part.tokens, Exception):
            self._fail(part.utterance, part.tokens)
        else:
            self._flow(self.for_flow.add(flow_bucket(_sequence_length(part)), part))

    def flush(self) -> None:
        """All batches that still wait for company."""
        self._flow(self.for_flow.rest())
        self._vocode(self.for_vocoder.rest())

    def _flow(self, groups: Iterator[list[SpokenPart]]) -> None:
        for group in groups:
            for part, mel in self._run(Stage.FLOW, group, self._mels):
                if isinstance(mel, Exception):
                    self._fail(part.utterance, mel)
                    continue
                mel = change_speed(mel, part.utterance.line.speed)
                spoken = MelPart(part.utterance, part.index, len(_tokens(part)), mel)
                self._vocode(self.for_vocoder.add(self.synthesizer.mel_bucket(len(mel)), spoken))

    def _vocode(self, groups: Iterator[list[MelPart]]) -> None:
        for group in groups:
            for part, audio in self._run(Stage.VOCODER, group, self._audio):
                if isinstance(audio, Exception):
                    self._fail(part.utterance, audio)
                    continue
                part.utterance.audio[part.index] = audio
                part.utterance.tokens += part.tokens
                self._hand_over(part.utterance)

    def _run(
        self, stage: Stage, group: list[P], work: Callable[[list[P]], list[np.ndarray]]
    ) -> list[tuple[P, np.ndarray | Exception]]:
        start = time.perf_counter()
        results = list(halving(group, work))
        seconds = time.perf_counter() - start
        self.stats.busy[stage] += seconds
        for part in group:
            part.utterance.spend(stage, seconds)
        return results

    def _mels(self, group: list[SpokenPart]) -> list[np.ndarray]:
        ratio, lengths = self.synthesizer.config.flow.token_mel_ratio, [_sequence_length(part) for part in group]
        mels = self.synthesizer.mels([(_tokens(part), part.utterance.voice.prompt) for part in group])
        self.stats.flow_frames += ratio * sum(lengths)
        self.stats.flow_padded += ratio * flow_bucket(max(lengths)) * self.synthesizer.devices.padded(len(group))
        return mels

    def _audio(self, group: list[MelPart]) -> list[np.ndarray]:
        lengths, rows = [len(part.mel) for part in group], self.synthesizer.devices.padded(len(group))
        audio = self.synthesizer.vocode_all([part.mel for part in group])
        self.stats.vocoder_frames += sum(lengths)
        self.stats.vocoder_padded += self.synthesizer.mel_bucket(max(lengths)) * rows
        return audio

    def _fail(self, utterance: Utterance, error: Exception) -> None:
        utterance.fail(error)
        self._hand_over(utterance)

    def _hand_over(self, utterance: Utterance) -> None:
        if utterance.complete:
            self.ready.put(utterance.ready(self.synthesizer.config.sample_rate))


def _tokens(part: SpokenPart) -> np.ndarray:
    assert not isinstance(part.tokens, Exception)
    return part.tokens


def _sequence_length(part: SpokenPart) -> int:
    """Speech tokens with the prompt's."""
    return len(part.utterance.voice.prompt.speech_tokens) + len(_tokens(part))
