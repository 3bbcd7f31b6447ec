"""PocketSphinx (https://github.com/cmusphinx/pocketsphinx), an extra: it is small and brings a model of US English.

S samples.
"""

import threading

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError

_RATE = 16000  # Hz, of the model
_FULL_SCALE = 32767


class PocketSphinx:
    """The recogniser with the model that comes with it."""

    def __init__(self) -> None:
        """Loads it, which takes a second; CosyError where it is not installed."""
        try:
            from pocketsphinx import Decoder
        except ImportError as error:
            raise CosyError("Transcribing needs PocketSphinx: pip install 'cosy_jax[transcribe]'.") from error
        self._decoder = Decoder(samprate=_RATE, loglevel="FATAL")
        self._lock = threading.Lock()

    def transcribe(self, samples: np.ndarray, rate: int) -> str:
        """The words in samples float32 (S,) of `rate` Hz in small letters, without punctuation; "" where there are
        none."""
        if not len(samples):
            return ""
        pcm = (np.clip(resample(samples, rate, _RATE), -1, 1) * _FULL_SCALE).astype(np.int16)
        with self._lock:
            self._decoder.reinit_feat()  # else the means of the recording before are taken off
            self._decoder.start_utt()
            try:
                self._decoder.process_raw(pcm.tobytes(), full_utt=True)
            finally:
                self._decoder.end_utt()
            found = self._decoder.hyp()
        return found.hypstr if found else ""
