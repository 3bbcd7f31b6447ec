"""Whether the flow's pages suffice, for one more request and for one more piece."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cosy_jax.config import FlowConfig
from cosy_jax.engine.claims import Claim, is_safe
from cosy_jax.engine.limits import Limits
from cosy_jax.engine.streams import Stream, most_frames
from cosy_jax.engine.voices import KeptVoices, finished_frames
from cosy_jax.errors import CosyError
from cosy_jax.flow.tracks import Tracks
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.streaming import LARGEST


@dataclass(frozen=True)
class Memory:
    """Pages of streams and voices, given so that no stream waits for ever (`claims`)."""

    tracks: Tracks
    voices: KeptVoices
    config: FlowConfig
    limits: Limits
    pages: int  # there are in all

    def check(self, stream: Stream) -> None:
        """CosyError for a request that could need more pages than there are."""
        if stream.work.whole:
            return
        needed = self._most(stream) + self._of_voice(stream.work.voice.prompt)
        if needed > self.pages:
            raise CosyError(
                f"{needed} s of speech with its voice do not fit the {self.pages} s that the engine keeps: "
                "split the text, or give the engine more memory."
            )

    def admits(self, stream: Stream, active: Sequence[Stream]) -> bool:
        """Whether this request can be spoken beside the others."""
        if stream.work.whole:
            return True
        prompt = stream.work.voice.prompt
        free = self._free(keep=prompt) - self.voices.pages_for(prompt)
        return is_safe(free, [*self._claims(active, {}), Claim(0, self._most(stream))])

    def grants(self, wanted: dict[Stream, int], active: Sequence[Stream]) -> bool:
        """Whether the streams may have so many pages more each."""
        free = self._free() - sum(wanted.values())
        return free >= 0 and is_safe(free, self._claims(active, wanted))

    def _free(self, keep: Prompt | None = None) -> int:
        """Pages for utterances: nobody's, and those of voices that nobody speaks in, but for `keep`; without those that
        voices in use will take."""
        return self.tracks.free_pages + self.voices.idle_pages(keep) - self.voices.missing_pages

    def _claims(self, active: Iterable[Stream], wanted: dict[Stream, int]) -> list[Claim]:
        claims = []
        for stream in active:
            if not stream.work.whole:
                held = stream.held + wanted.get(stream, 0)
                claims.append(Claim(held, max(self._most(stream) - held, 0)))
        return claims

    def _most(self, stream: Stream) -> int:
        """Pages of its own that the stream can have at a time."""
        chunk = self.config.chunk_frames
        frames = most_frames(stream.work, self.config, self.limits.seconds)
        pages = -(-frames // chunk) - self._of_voice(stream.work.voice.prompt)
        # A piece's pages are taken before those that it no longer looks back on are given back.
        return pages if self.limits.left_chunks is None else min(pages, self.limits.left_chunks + LARGEST)

    def _of_voice(self, prompt: Prompt) -> int:
        return finished_frames(len(prompt.speech_tokens), self.config) // self.config.chunk_frames
