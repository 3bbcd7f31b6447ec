"""A sentence spoken by flite, cut and levelled alike for every speaker, with its phonemes' times.

S samples at 16 kHz, L speech tokens.
"""

import math
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.errors import CosyError

from .labels import FRAME_SECONDS, TOKEN_SECONDS, Segment, parse_segments, token_labels
from .speakers import Speaker

RATE = 16000  # Hz, of all of flite's voices
_TOKEN = round(TOKEN_SECONDS * RATE)
_SILENCE = 0.1  # seconds before the first phoneme and after the last, there up to a whole token
_FADE = 0.01  # seconds
_LEVEL = -23.0  # dB of full scale, of frames that are no more than _QUIET below the loudest
_QUIET = 30.0  # dB
_PEAK = 0.95
_LONGEST = 120.0  # seconds that flite may compute
_F0_RANGE = (50.0, 400.0)  # Hz


@dataclass(frozen=True)
class Utterance:
    """A sentence as a speaker says it, a whole number of speech tokens long."""

    samples: np.ndarray  # float32 (S,)
    segments: list[Segment]
    labels: np.ndarray  # int32 (L,)


def speak(text: str, speaker: Speaker) -> Utterance:
    """The text spoken; CosyError where flite is missing or fails."""
    samples, segments = _synthesise(text, speaker)
    # Taken for a recording of another rate, a voice has another pitch and other formants.
    samples = resample(samples, round(RATE * speaker.factor), RATE)
    segments = [(phoneme, end / speaker.factor) for phoneme, end in segments]
    samples, segments = trim(samples, segments)
    samples = level(samples)
    return Utterance(samples, segments, token_labels(segments, _f0(samples), speaker.median_f0, len(samples) // _TOKEN))


def trim(samples: np.ndarray, segments: list[Segment]) -> tuple[np.ndarray, list[Segment]]:
    """Samples (S,) with 0.1 s of silence at each end, padded to whole tokens, and the segments' new times."""
    start, end = segments[0][1] - _SILENCE, segments[-2][1] + _SILENCE
    first = round(start * RATE)
    kept = samples[max(first, 0) : round(end * RATE)].copy()
    fade = np.linspace(0, 1, round(_FADE * RATE), dtype=np.float32)
    kept[: len(fade)] *= fade
    kept[-len(fade) :] *= fade[::-1]
    length = math.ceil(round((end - start) * RATE) / _TOKEN) * _TOKEN
    before = max(-first, 0)
    whole = np.pad(kept, (before, length - before - len(kept)))
    moved = [(phoneme, time - start) for phoneme, time in segments[:-1]]
    return whole, [*moved, ("pau", length / RATE)]


def level(samples: np.ndarray) -> np.ndarray:
    """Samples (S,) whose speech, frames of 40 ms not far below the loudest, has -23 dB of full scale."""
    power = np.square(samples.reshape(-1, _TOKEN)).mean(axis=1)
    loud = power[power > power.max() * 10 ** (-_QUIET / 10)]
    gain = 10 ** (_LEVEL / 20) / math.sqrt(loud.mean())
    return samples * np.float32(min(gain, _PEAK / np.abs(samples).max()))


def _synthesise(text: str, speaker: Speaker) -> tuple[np.ndarray, list[Segment]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "spoken.wav"
        stretch = f"duration_stretch={speaker.factor * speaker.pace:.4f}"
        command = ["flite", "-voice", speaker.voice, "--setf", stretch, "-psdur", "-t", text, "-o", str(path)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_LONGEST)
        except FileNotFoundError:
            raise CosyError("flite, which speaks the texts, is not installed: apt-get install flite.") from None
        except subprocess.TimeoutExpired:
            raise CosyError(f"flite did not speak {text!r} in {_LONGEST:.0f} s: run it again.") from None
        if done.returncode or not path.is_file():
            raise CosyError(f"flite could not speak {text!r} as {speaker.voice} ({done.stderr.strip()}): install 2.2.")
        samples, rate = load_audio(path)
    if rate != RATE:
        raise CosyError(f"flite spoke at {rate} Hz as {speaker.voice}, not at {RATE} Hz: install flite 2.2.")
    return samples, parse_segments(done.stdout)


def _f0(samples: np.ndarray) -> np.ndarray:
    """F0 float64 (T,) in Hz every 10 ms, 0 where unvoiced."""
    try:
        import pyworld
    except ImportError:
        raise CosyError("The pitch labels need pyworld: pip install pyworld-prebuilt.") from None
    wide = samples.astype(np.float64)
    floor, ceiling = _F0_RANGE
    f0, times = pyworld.dio(wide, RATE, f0_floor=floor, f0_ceil=ceiling, frame_period=1000 * FRAME_SECONDS)
    return pyworld.stonemask(wide, f0, times, RATE)
