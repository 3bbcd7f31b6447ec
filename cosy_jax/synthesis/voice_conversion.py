"""What is said in one recording, in the voice of another: the source's half, on the host.

The speech tokens of the source take the place of those that the language model would write. The speech tokenizer
takes 30 s at most, so that a longer source is cut where it is quiet.

S samples.
"""

from pathlib import Path

import numpy as np

from cosy_jax.audio.read import MAX_SECONDS, Waveform
from cosy_jax.audio.resample import resample
from cosy_jax.audio.usable import load_speech
from cosy_jax.config import ModelConfig
from cosy_jax.prompt.encode import MIN_SECONDS
from cosy_jax.prompt.features import RATE

_SHORTEST_SECONDS = 20.0  # of a piece that is followed by another
_REST_SECONDS = 1.0  # of the last piece


def source_pieces(source: str | Path | Waveform, config: ModelConfig) -> list[np.ndarray]:
    """The source, a file or samples float (S,) and their rate in Hz, as pieces float32 (S,) at 16 kHz of at most 30 s.

    CosyError where it cannot be read, is below 16 kHz, truncated, shorter than 0.05 s, silent or constant. Reference:
    cosyvoice/cli/frontend.py, frontend_vc, which refuses more than 30 s.
    """
    samples, rate = load_speech(source, "The source", MIN_SECONDS, max_seconds=None)
    wav = resample(samples, rate, RATE)
    return np.split(wav, quiet_cuts(wav, config.token_rate))


def quiet_cuts(wav: np.ndarray, token_rate: int) -> list[int]:
    """Where to cut samples (S,) at 16 kHz: offsets between tokens, `token_rate` a second, so that no time is lost, each
    the quietest 20 s to 30 s after the one before.

    The last piece keeps a second at least.
    """
    token = RATE // token_rate
    energy = _boundary_energy(wav, token)
    longest, shortest, rest = (int(seconds * token_rate) for seconds in (MAX_SECONDS, _SHORTEST_SECONDS, _REST_SECONDS))
    cuts, start = [], 0
    while len(wav) > (start + longest) * token:
        first = start + shortest
        last = min(start + longest, len(wav) // token - rest)
        start = first + int(np.argmin(energy[first : last + 1]))
        cuts.append(start * token)
    return cuts


def _boundary_energy(wav: np.ndarray, token: int) -> np.ndarray:
    """Energy on either side of the boundary in front of each token, of `token` samples, (S // token,)."""
    tokens = np.square(wav[: len(wav) // token * token]).reshape(-1, token).sum(axis=1)
    return tokens + np.concatenate([tokens[:1], tokens[:-1]])
