"""What the routes share: the engine, the voices, and the counts of what was asked."""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import soundfile
from starlette.concurrency import run_in_threadpool
from starlette.requests import HTTPConnection

from cosy_jax.audio.read import MAX_SECONDS, Waveform, decode_audio
from cosy_jax.engine.engine import Engine
from cosy_jax.engine.errors import BusyError, CancelledError
from cosy_jax.engine.ticket import Ticket
from cosy_jax.errors import CosyError
from cosy_jax.serve.errors import ApiError
from cosy_jax.serve.settings import ServeSettings
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voices import VoiceInfo, check_new, list_voices, remove_voice, save_voice

_MOST_CHANNELS = 8
_MOST_SAMPLES = 300 * 48_000  # a channel: what is silent unpacks to thousands of times its size


@dataclass
class Service:
    """One server's state."""

    engine: Engine
    synthesizer: Synthesizer
    settings: ServeSettings
    ready: bool = False  # all programs are compiled
    programs: tuple[int, int] | None = None  # how many of how many are, while they are compiled
    results: Counter[str] = field(default_factory=Counter)  # requests by how they ended
    _counting: threading.Lock = field(default_factory=threading.Lock)
    _encoding: asyncio.Lock = field(default_factory=asyncio.Lock)  # one recording at a time

    def compiled(self, done: int, of: int) -> None:
        """While the engine is warmed: how many of how many programs are there."""
        self.programs = done, of

    def submit(self, request: Request, whole: bool = False) -> Ticket:
        """The engine's; counted."""
        return self.counted(lambda: self.engine.submit(request, whole))

    def counted(self, submit: Callable[[], Ticket]) -> Ticket:
        """A ticket, whose end is counted."""
        try:
            ticket = submit()
        except BusyError:
            self._count("refused")
            raise
        except CosyError:
            self._count("invalid")
            raise
        ticket.when_done(lambda error: self._count(_result(error)))
        return ticket

    def _count(self, result: str) -> None:
        with self._counting:  # tickets end in the engine's threads
            self.results[result] += 1

    def check_text(self, text: str) -> None:
        """ApiError for one that is too long."""
        if len(text) > self.settings.longest_text:
            most = self.settings.longest_text
            raise ApiError(
                400, f"The text has {len(text)} characters, more than {most}: split it.", "input", "too_long"
            )

    def count_tokens(self, text: str) -> int:
        """Of a text."""
        return len(self.synthesizer.tokenizer.encode(text))

    def voices(self) -> list[VoiceInfo]:
        """The saved voices that can be read."""
        return [voice for voice in list_voices(self.synthesizer.voices) if not voice.problem]

    @property
    def own(self) -> Path:
        """The folder of voices that are saved here; the model's own are not among them."""
        return self.synthesizer.voices[0]

    def voice_name(self, name: str | None) -> str:
        """The voice that is asked for, the first where none is; ApiError where there is none."""
        if name:
            return self.find(name).name
        names = [voice.name for voice in self.voices()]
        if not names:
            raise ApiError(400, "There is no voice yet: save one, or send prompt_audio.", "voice", "no_voice")
        return names[0]

    def find(self, name: str) -> VoiceInfo:
        """A saved voice; ApiError (404) where there is none of this name."""
        for voice in self.voices():
            if voice.name == name:
                return voice
        raise ApiError(404, f"No voice '{name[:100]}'.", "voice", "voice_not_found")

    async def save(self, name: str, content: bytes, transcript: str, overwrite: bool) -> VoiceInfo:
        """A recording's voice under a name. CosyError for a bad name, recording or transcript; ApiError (409) for a
        name that is taken, and where there are too many voices."""
        folder = self.own
        try:
            check_new(folder, name, overwrite)
        except CosyError as error:
            if "overwrite" in error.fields:  # its own sentence names the folder
                taken = f"A voice '{name}' exists: choose another name."
                raise ApiError(409, taken, "name", "name_taken") from None
            raise ApiError(400, str(error), "name", "invalid_value") from None
        if len(self.voices()) >= self.settings.most_voices:
            raise ApiError(409, f"There are {self.settings.most_voices} voices already: remove one.", code="too_many")
        async with self._encoding:
            await run_in_threadpool(self._save, folder, name, content, transcript, overwrite)
        return self.find(name)

    def remove(self, name: str) -> None:
        """Deletes a voice; ApiError (404) where there is none."""
        if self.find(name).path.parent != self.own:
            raise ApiError(403, f"The voice '{name}' comes with the model: it stays.", "voice", "not_allowed")
        remove_voice(self.own, name)

    def _save(self, folder: Path, name: str, content: bytes, transcript: str, overwrite: bool) -> None:
        voice = self.synthesizer.voice(decode(content), transcript)
        save_voice(folder, name, voice, self.synthesizer.config, overwrite)


def decode(content: bytes, name: str = "The recording", max_seconds: float = MAX_SECONDS) -> Waveform:
    """An uploaded recording; CosyError as `decode_audio`, and for more channels than a microphone has, or more samples
    than five minutes take."""
    with contextlib.suppress(soundfile.SoundFileError), soundfile.SoundFile(BytesIO(content)) as file:
        if file.channels > _MOST_CHANNELS:
            raise CosyError(f"{name} has {file.channels} channels: mix it down to one.")
        if max_seconds * file.samplerate >= file.frames > _MOST_SAMPLES:
            raise CosyError(f"{name} has {file.frames} samples at {file.samplerate} Hz: convert it to 16 kHz.")
    return decode_audio(content, name, max_seconds)


def service_of(connection: HTTPConnection) -> Service:
    """For routes: the server's."""
    service: Service = connection.app.state.service
    return service


def _result(error: BaseException | None) -> str:
    if error is None:
        return "ok"
    if isinstance(error, CancelledError):
        return "cancelled"
    return "invalid" if isinstance(error, CosyError) else "failed"
