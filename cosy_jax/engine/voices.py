"""What depends on a voice alone, computed once: the flow over its recording's finished chunks.

The chunks of a recording that are followed by as many of its own tokens as the flow looks ahead do not depend on what
is spoken. Their pages stay with the voice, and every utterance in it begins behind them.
"""

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass

from cosy_jax.config import FlowConfig
from cosy_jax.engine.meters import Meters
from cosy_jax.flow.tracks import Step, Track, Tracks
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.streaming import LARGEST


@dataclass(eq=False)
class KeptVoice:
    """A voice's past, complete once `track` has `frames`, and how many requests speak in it."""

    key: str
    prompt: Prompt
    track: Track
    frames: int
    users: int = 0

    @property
    def complete(self) -> bool:
        """Whether utterances can begin behind it."""
        return self.track.frames >= self.frames


class KeptVoices:
    """The voices that were spoken in of late, at most `slots` of them. Those that nobody speaks in are forgotten when
    room is needed, the least recently used first."""

    def __init__(self, tracks: Tracks, config: FlowConfig, slots: int, meters: Meters) -> None:
        self._tracks, self._config, self._slots, self._meters = tracks, config, slots, meters
        self._kept: OrderedDict[str, KeptVoice] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def idle_pages(self, keep: Prompt | None = None) -> int:
        """Pages of voices that nobody speaks in, which can be had; not counting those of `keep`."""
        kept = keep.digest if keep else None
        return sum(len(v.track.pages) for v in self._kept.values() if not v.users and v.key != kept)

    @property
    def missing_pages(self) -> int:
        """Pages that voices which are spoken in will take yet."""
        chunk = self._config.chunk_frames
        return sum((voice.frames - voice.track.frames) // chunk for voice in self._kept.values() if voice.users)

    def pages_for(self, prompt: Prompt) -> int:
        """Pages of this voice that are not there yet."""
        kept = self._kept.get(prompt.digest)
        frames = finished_frames(len(prompt.speech_tokens), self._config)
        return (frames - (kept.track.frames if kept else 0)) // self._config.chunk_frames

    def use(self, prompt: Prompt) -> KeptVoice:
        """The voice of this prompt, for one more request."""
        key = prompt.digest
        voice = self._kept.pop(key, None)
        if voice is None:
            self._forget_beyond(self._slots - 1)
            frames = finished_frames(len(prompt.speech_tokens), self._config)
            voice = KeptVoice(key, prompt, self._tracks.begin(), frames)
            self._meters.voices_computed += 1
        else:
            self._meters.voices_reused += 1
        self._kept[key] = voice
        voice.users += 1
        return voice

    def release(self, voice: KeptVoice) -> None:
        """One request fewer."""
        voice.users -= 1
        if not voice.users and not voice.complete:
            self._forget(voice)

    def make_room(self, pages: int) -> None:
        """Forgets voices that nobody speaks in until so many pages are free, or all are forgotten."""
        for voice in [voice for voice in self._kept.values() if not voice.users]:
            if self._tracks.free_pages >= pages:
                return
            self._forget(voice)

    def steps(self) -> Iterator[tuple[KeptVoice, Step]]:
        """The next piece of each voice that is needed and not complete."""
        ratio = self._config.token_mel_ratio
        for voice in self._kept.values():
            if voice.users and not voice.complete:
                until = min(voice.track.frames + LARGEST * self._config.chunk_frames, voice.frames) // ratio
                yield voice, Step(voice.track, voice.prompt.speech_tokens, until, voice.prompt)

    def _forget_beyond(self, most: int) -> None:
        for voice in [voice for voice in self._kept.values() if not voice.users]:
            if len(self._kept) <= most:
                return
            self._forget(voice)

    def _forget(self, voice: KeptVoice) -> None:
        self._tracks.close(voice.track)
        del self._kept[voice.key]
        self._meters.voices_forgotten += 1


def finished_frames(tokens: int, config: FlowConfig) -> int:
    """Frames of a recording's chunks that do not depend on what follows it, of so many speech tokens."""
    chunk = config.chunk_frames // config.token_mel_ratio
    return max(tokens - config.lookahead, 0) // chunk * config.chunk_frames
