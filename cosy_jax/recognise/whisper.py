"""Whisper by faster-whisper (https://github.com/SYSTRAN/faster-whisper), of many languages; the user's own model.

S samples.
"""

from pathlib import Path

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError

_RATE = 16000  # Hz, of the model
_BEAM = 5  # as Seed-TTS-eval's users have it


class FasterWhisper:
    """A model that was converted for CTranslate2."""

    def __init__(self, folder: str | Path) -> None:
        """Loads it; CosyError where the package is not installed, or the folder holds no such model."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise CosyError("The recogniser faster-whisper is missing: pip install faster-whisper.") from error
        try:
            self._model = WhisperModel(str(folder))
        except (RuntimeError, ValueError, OSError) as error:
            raise CosyError(f"Cannot load {folder} with faster-whisper ({error}): give a converted model.") from error

    def transcribe(self, samples: np.ndarray, rate: int) -> str:
        """The words in samples float32 (S,) of `rate` Hz, with punctuation, in whatever language it finds."""
        if not len(samples):
            return ""
        segments, _ = self._model.transcribe(resample(samples, rate, _RATE), beam_size=_BEAM)
        return "".join(segment.text for segment in segments).strip()
