"""First stage: lines to contexts, and each distinct prompt encoded once."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cosy_jax.batch.channel import Channel
from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import Failed, Finished, Part, Utterance
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voice import Voice

_VOICES = 1024  # voices kept; one of 10 s takes 160 KB


@dataclass(frozen=True)
class _Unavailable:
    """A voice that cannot be had."""

    error: str  # one sentence


class VoiceCache:
    """The voices that were used last, by recording or name. One that cannot be had is remembered too."""

    def __init__(self, synthesizer: Synthesizer) -> None:
        self._synthesizer = synthesizer
        self._kept: OrderedDict[str | Path, Voice | _Unavailable] = OrderedDict()

    def in_voice(self, request: Request, stats: Stats) -> Request:
        """The request in its voice, a recording's with the request's own transcript; `stats` counts whether it was
        kept. CosyError where it cannot be had."""
        key = request.voice or request.recording
        assert isinstance(key, str | Path)
        if key in self._kept:
            stats.prompt_hits += 1
        else:
            self._kept[key] = self._load(request)
            stats.prompts += 1
        self._kept.move_to_end(key)
        if len(self._kept) > _VOICES:
            self._kept.popitem(last=False)
        found = self._kept[key]
        if isinstance(found, _Unavailable):
            raise CosyError(found.error)
        return request.in_voice(found if request.voice else replace(found, transcript=request.transcript_at_hand))

    def _load(self, request: Request) -> Voice | _Unavailable:
        try:
            return self._synthesizer.find_voice(request.voice, request.recording)
        except CosyError as error:
            return _Unavailable(str(error))
        except OSError as error:  # such as a name that no file system takes
            return _Unavailable(f"Cannot read {error.filename}: {error.strerror}.")


def prepare(
    lines: Iterator[Line],
    synthesizer: Synthesizer,
    voices: VoiceCache,
    parts: Channel[Part],
    ready: Channel[Finished],
    stop: threading.Event,
    stats: Stats,
) -> None:
    """Hands the parts of each line to `parts`, and lines that come to nothing to `ready`; none once `stop` is set."""
    for line in lines:
        if stop.is_set():
            break
        start = time.perf_counter()
        prepared = _prepared(line, synthesizer, voices, stats)
        stats.busy[Stage.PROMPT] += time.perf_counter() - start
        if isinstance(prepared, Failed):
            ready.put(prepared)
            continue
        stats.segments += len(prepared) if len(prepared) > 1 else 0
        for part in prepared:
            parts.put(part)
    parts.close()


def _prepared(line: Line, synthesizer: Synthesizer, voices: VoiceCache, stats: Stats) -> list[Part] | Failed:
    start = time.perf_counter()
    try:
        request = voices.in_voice(line.request, stats)
        contexts = synthesizer.contexts(request)
    except CosyError as error:
        return Failed(Outcome(line, error=str(error)))
    text_tokens, seconds = len(synthesizer.tokenizer.encode(request.whole_text)), time.perf_counter() - start
    utterance = Utterance(line, request.voice_at_hand, len(contexts), text_tokens, seconds)
    return [Part(utterance, index, context) for index, context in enumerate(contexts)]
