"""Small pictures of a recording, drawn without matplotlib: a page has hundreds of them.

S samples, T frames of 20 ms, M mel bands.
"""

import struct
import zlib

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.compare.spectral import FRAME, RANGE_DB, RATE, log_mel

_COLUMNS = 600  # of a waveform
_HEIGHT = 60  # units of its picture
_MOST_FRAMES = 3000  # of a mel that is drawn: one minute


def waveform_svg(samples: np.ndarray) -> str:
    """The outline of samples float (S,), S > 0, full scale from edge to edge, as an SVG element of any width."""
    starts = np.arange(0, len(samples), max(1, len(samples) // _COLUMNS))
    high, low = np.maximum.reduceat(samples, starts), np.minimum.reduceat(samples, starts)
    edge = [*enumerate(high), *reversed([*enumerate(low)])]
    points = " ".join(f"{column},{(1 - value) * _HEIGHT / 2:.1f}" for column, value in edge)
    return (
        f'<svg viewBox="0 0 {len(starts)} {_HEIGHT}" preserveAspectRatio="none" role="img" aria-label="waveform">'
        f'<polygon points="{points}"/></svg>'
    )


def mel_png(samples: np.ndarray, rate: int) -> bytes:
    """The mel of samples float32 (S,), S at least 20 ms, as a grey PNG of a pixel a frame and band, low bands below;
    of a longer one the first minute. Black is the loudest cell, white what lies 60 dB below it."""
    narrow = resample(samples, rate, RATE)[: _MOST_FRAMES * FRAME.hop]
    mel = log_mel(narrow, RATE / 2)
    depth = np.clip((mel.max() - mel) / RANGE_DB, 0, 1)
    return grey_png((depth.T[::-1] * 255).round().astype(np.uint8))


def grey_png(pixels: np.ndarray) -> bytes:
    """A PNG of pixels uint8 (rows, columns), 255 white (https://www.w3.org/TR/png-3/)."""
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0, 0, 0, 0)
    # The filter "up": mels change little from band to band.
    changes = np.diff(pixels, axis=0, prepend=np.zeros((1, columns), np.uint8))
    lines = np.insert(changes, 0, 2, axis=1).astype(np.uint8)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9)), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
