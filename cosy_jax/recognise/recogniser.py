"""Speech in, words out.

S samples.
"""

from typing import Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Recogniser(Protocol):
    """Finds out what is said in a recording; any number of threads may ask one at a time."""

    def transcribe(self, samples: np.ndarray, rate: int) -> str:
        """The words in samples float32 (S,) of `rate` Hz, "" where there are none."""
        ...
