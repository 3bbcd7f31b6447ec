"""Audio in the formats that clients ask for, piece by piece: what is given out can be played at once, and nothing is
lost at the end.

S samples.
"""

from fractions import Fraction
from typing import Any, NamedTuple, Protocol

import numpy as np

from cosy_jax.audio.write import pcm16, wav_header


class Encoder(Protocol):
    """One stream of audio."""

    def encode(self, samples: np.ndarray) -> bytes:
        """What a further piece float32 (S,) adds; may be nothing yet."""

    def finish(self) -> bytes:
        """The rest."""


class Format(NamedTuple):
    """How a format is called in HTTP, and in FFmpeg: container, codec and the container's options."""

    media_type: str
    container: str = ""
    codec: str = ""
    options: dict[str, str] | None = None


FORMATS = {
    # Without the Xing header, which is written when the length is known: players would take its place for the length.
    "mp3": Format("audio/mpeg", "mp3", "libmp3lame", {"write_xing": "0", "id3v2_version": "0"}),
    "opus": Format("audio/ogg", "ogg", "libopus", {"page_duration": "20000"}),  # microseconds; else a second
    "aac": Format("audio/aac", "adts", "aac"),
    "flac": Format("audio/flac", "flac", "flac"),
    "wav": Format("audio/wav"),
    "pcm": Format("audio/pcm"),
}


def make_encoder(name: str, rate: int) -> Encoder:
    """An encoder of one of `FORMATS` for mono audio of `rate` Hz."""
    found = FORMATS[name]
    return _Compressed(found, rate) if found.container else _Pcm(wav_header(rate) if name == "wav" else b"")


class _Pcm:
    """16 bits a sample, behind a header or none."""

    def __init__(self, header: bytes) -> None:
        self._header = header

    def encode(self, samples: np.ndarray) -> bytes:
        return self.finish() + pcm16(samples)

    def finish(self) -> bytes:
        header, self._header = self._header, b""
        return header


class _Sink:
    """What FFmpeg writes to: a file that cannot be sought in."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        return len(data)

    def take(self) -> bytes:
        data = b"".join(self._parts)
        self._parts.clear()
        return data


class _Compressed:
    """By FFmpeg's encoders."""

    def __init__(self, form: Format, rate: int) -> None:
        import av

        self._av, self._rate, self._sink, self._samples = av, rate, _Sink(), 0
        self._container = av.open(self._sink, "w", format=form.container, options=form.options or {})
        self._stream: Any = self._container.add_stream(form.codec, rate=rate, layout="mono")  # of audio

    def encode(self, samples: np.ndarray) -> bytes:
        values = np.frombuffer(pcm16(samples), np.int16)[None]
        frame = self._av.AudioFrame.from_ndarray(values, format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._samples, Fraction(1, self._rate)
        self._samples += values.shape[1]
        self._container.mux(self._stream.encode(frame))
        return self._sink.take()

    def finish(self) -> bytes:
        if self._samples:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        return self._sink.take()
