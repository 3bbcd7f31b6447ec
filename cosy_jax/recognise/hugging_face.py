"""Any recogniser that transformers (https://github.com/huggingface/transformers) reads; the user's own model.

S samples.
"""

from pathlib import Path

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError

_RATE = 16000  # Hz, of all such models in use


class HuggingFace:
    """A folder with model, tokenizer and feature extractor."""

    def __init__(self, folder: str | Path) -> None:
        """Loads it; CosyError where the package is not installed, or the folder holds no such model."""
        try:
            from transformers import pipeline
        except ImportError as error:
            raise CosyError("The recogniser transformers is missing: pip install transformers torch.") from error
        try:
            self._pipeline = pipeline("automatic-speech-recognition", model=str(folder))
        except (RuntimeError, ValueError, KeyError, OSError) as error:
            raise CosyError(f"Cannot load {folder} with transformers ({error}): give a recogniser's folder.") from error

    def transcribe(self, samples: np.ndarray, rate: int) -> str:
        """The words in samples float32 (S,) of `rate` Hz, as the model writes them."""
        if not len(samples):
            return ""
        return self._pipeline({"raw": resample(samples, rate, _RATE), "sampling_rate": _RATE})["text"].strip()
