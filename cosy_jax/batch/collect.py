"""The parts of a line become its outcome."""

from collections.abc import Sequence

from cosy_jax.audio.join import join_audio
from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.messages import AudioPart, Failed, FailedPart, Finished, Spoken, Utterance
from cosy_jax.synthesis.stage import Stage


class Assembly:
    """Keeps the parts of a line until all have come, in whatever order and among those of other lines. For one thread.

    It holds no line that is finished.
    """

    def __init__(self, sample_rate: int) -> None:
        self._sample_rate = sample_rate
        self._come: dict[Utterance, list[AudioPart | FailedPart]] = {}

    def add(self, part: AudioPart | FailedPart) -> Finished | None:
        """Takes a part; gives its line back with the last one. The first part that failed says why the line did."""
        utterance = part.part.utterance
        parts = self._come.setdefault(utterance, [])
        parts.append(part)
        if len(parts) < utterance.parts:
            return None
        del self._come[utterance]
        failed = [each for each in parts if isinstance(each, FailedPart)]
        if failed:
            return Failed(Outcome(utterance.line, error=failed[0].error))
        spoken = [each for each in parts if isinstance(each, AudioPart)]
        return _spoken(utterance, sorted(spoken, key=lambda each: each.part.index), self._sample_rate)


def _spoken(utterance: Utterance, parts: Sequence[AudioPart], sample_rate: int) -> Spoken:
    mels = [part.source for part in parts]
    decoded = [mel.decoded for mel in mels]
    audio = join_audio([part.audio for part in parts], sample_rate)
    outcome = Outcome(
        utterance.line,
        seconds=len(audio) / sample_rate,
        tokens=sum(len(part.tokens) for part in decoded),
        text_tokens=utterance.text_tokens,
        fallbacks=sum(part.fallbacks for part in decoded),
        stages={
            Stage.PROMPT: utterance.seconds,
            Stage.LANGUAGE_MODEL: sum(part.seconds for part in decoded),
            Stage.FLOW: sum(mel.seconds for mel in mels),
            Stage.VOCODER: sum(part.seconds for part in parts),
        },
    )
    return Spoken(outcome, audio)
