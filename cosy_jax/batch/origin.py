"""What the speech of a line was made from, so that a later run can tell whether it would make the same."""

import hashlib
import json
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.checkpoint import reader
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.voices import inspect_voice
from cosy_jax.text.normalise import has_wetext

if TYPE_CHECKING:
    from cosy_jax.synthesis.synthesizer import Synthesizer

_LENGTH = 32  # hexadecimal digits of a digest, of the 64 of SHA-256
_FILES = 4096  # whose digests are kept


@dataclass(frozen=True)
class Origin:
    """A digest of each thing that speech depends on: equal ones give the same speech.

    A voice is told by what is in its file, not by the file's date: a manifest and its recordings may be copied to
    another machine, and reading a recording costs little beside encoding it.
    """

    line: str  # text, mode, instruction, seed, speed
    voice: str  # a recording with its transcript and the encoders, or a saved voice's file
    weights: str  # language model, flow, vocoder, tokenizer and settings
    options: str  # precision, front end, the reference's slips


class Origins:
    """Tells the origin of requests that one synthesizer speaks."""

    def __init__(self, synthesizer: "Synthesizer") -> None:
        self._synthesizer = synthesizer
        self._file_digest = lru_cache(_FILES)(file_digest)

    def of(self, request: Request) -> Origin:
        """Of a request whose voice is a recording's file or a saved one's name. The digest of a voice that cannot be
        read is that of no other: speaking it tells what is wrong."""
        frontend = request.normalisation
        return Origin(
            digest(request.whole_text, request.way, request.instruct, request.seed, request.speed),
            self._voice(request),
            self.weights,
            digest(
                self._synthesizer.precision.name,
                asdict(frontend),
                frontend.enabled and has_wetext(),
                request.reference_slips,
            ),
        )

    @cached_property
    def weights(self) -> str:
        """The digest of the weights, those of the prompt encoders left out: they are the voice's."""
        folder, config = self._synthesizer.weights, self._synthesizer.config
        stages = [reader.file_digest(folder, stage) for stage in (self._synthesizer.llm, "flow", "vocoder")]
        tokenizer = {path.name: file_digest(path) for path in (folder / "tokenizer").iterdir()}
        adapter = self._synthesizer.adapter
        changes = [file_digest(path) for path in sorted(adapter.iterdir())] if adapter else []
        return digest(stages, tokenizer, config.to_dict(), *changes)

    def _voice(self, request: Request) -> str:
        if isinstance(request.voice, str):
            try:
                return digest(self._file_digest(inspect_voice(self._synthesizer.voices, request.voice).path))
            except CosyError:
                return digest(None)
        assert isinstance(request.recording, str | Path)
        return digest(self._file_digest(Path(request.recording)), request.transcript, self._synthesizer.encoders)


def digest(*values: Any) -> str:
    """Of anything that JSON can hold."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:_LENGTH]


def content_digest(content: bytes) -> str:
    """Of a file's content, as `file_digest`."""
    return hashlib.sha256(content).hexdigest()[:_LENGTH]


def file_digest(path: Path) -> str | None:
    """Of a file's content; None where it cannot be read, or is a pipe or a device."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()[:_LENGTH]
    except OSError:
        return None
