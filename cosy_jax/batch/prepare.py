"""First stage: lines to requests, and each distinct prompt encoded once."""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cosy_jax.batch.channel import Channel
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import Failed, Finished, Part, Utterance
from cosy_jax.batch.results import Outcome
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.modes import Voice
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Options, Synthesizer
from cosy_jax.synthesis.voices import load_voice
from cosy_jax.text.normalise import FrontendOptions

_VOICES = 1024  # voices kept; one of 10 s takes 160 KB


@dataclass(frozen=True)
class _Unavailable:
    """A voice that cannot be had."""

    error: str  # one sentence


class VoiceCache:
    """The voices that were used last, by recording or name. One that cannot be had is remembered too."""

    def __init__(self, synthesizer: Synthesizer, folder: Path, stats: Stats) -> None:
        self._synthesizer, self._folder, self._stats = synthesizer, folder, stats
        self._kept: OrderedDict[str | Path, Voice | _Unavailable] = OrderedDict()

    def voice(self, line: Line) -> Voice:
        """The voice of a line, a recording's with the line's own transcript; CosyError where it cannot be had."""
        key = line.voice or line.prompt_wav
        assert key is not None
        if key in self._kept:
            self._stats.prompt_hits += 1
        else:
            self._kept[key] = self._load(line)
            self._stats.prompts += 1
        self._kept.move_to_end(key)
        if len(self._kept) > _VOICES:
            self._kept.popitem(last=False)
        found = self._kept[key]
        if isinstance(found, _Unavailable):
            raise CosyError(found.error)
        return found if line.voice else Voice(found.prompt, line.prompt_text)

    def _load(self, line: Line) -> Voice | _Unavailable:
        try:
            if line.voice:
                return load_voice(self._folder, line.voice)
            assert line.prompt_wav is not None
            return self._synthesizer.voice(line.prompt_wav)
        except CosyError as error:
            return _Unavailable(str(error))


def prepare(
    lines: Iterator[Line],
    synthesizer: Synthesizer,
    voices: VoiceCache,
    frontend: FrontendOptions,
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
        prepared = _prepared(line, synthesizer, voices, frontend)
        stats.busy[Stage.PROMPT] += time.perf_counter() - start
        if isinstance(prepared, Failed):
            ready.put(prepared)
            continue
        for part in prepared:
            parts.put(part)
    parts.close()


def _prepared(
    line: Line, synthesizer: Synthesizer, voices: VoiceCache, frontend: FrontendOptions
) -> list[Part] | Failed:
    start = time.perf_counter()
    try:
        voice = voices.voice(line)
        options = Options(line.mode, line.instruct, line.seed, line.speed, frontend=frontend)
        requests = synthesizer.requests(line.text, voice, options)
    except CosyError as error:
        return Failed(Outcome(line, error=str(error)))
    text_tokens = len(synthesizer.tokenizer.encode(line.text))
    utterance = Utterance(line, voice, len(requests), text_tokens, time.perf_counter() - start)
    return [Part(utterance, index, request) for index, request in enumerate(requests)]
