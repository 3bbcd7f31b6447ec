"""What the speech tokenizer learns to tell: phoneme and pitch of each speech token, from the synthesiser itself.

L speech tokens of 40 ms, T frames of 10 ms.
"""

import numpy as np

from cosy_jax.errors import CosyError

# The phonemes of flite's American English; pau is silence.
_FLITE = "pau aa ae ah ao aw ax ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
PHONEMES = tuple(_FLITE.split())
# Semitones from the speaker's median F0 that part the voiced classes 1 to 5; class 0 is unvoiced.
PITCH_STEPS = (-2.0, -0.7, 0.7, 2.0)
PITCHES = len(PITCH_STEPS) + 2

TOKEN_SECONDS = 0.04
FRAME_SECONDS = 0.01
_FRAMES = 4  # a token

Segment = tuple[str, float]  # a phoneme, and the second where it ends


def parse_segments(printed: str) -> list[Segment]:
    """What `flite -psdur` prints, `phoneme:end` a segment; CosyError where it is something else."""
    segments: list[Segment] = []
    for entry in printed.split():
        phoneme, _, end = entry.partition(":")
        try:
            segments.append((phoneme, float(end)))
        except ValueError:
            raise CosyError(
                f"flite -psdur printed {entry!r}: use flite 2.2, which prints phonemes and times."
            ) from None
        if phoneme not in PHONEMES:
            raise CosyError(f"flite speaks the phoneme {phoneme!r}, which is not in labels.PHONEMES: add it there.")
    if len(segments) < 3 or (segments[0][0], segments[-1][0]) != ("pau", "pau"):
        raise CosyError(f"flite -psdur printed {printed!r}: a sentence begins and ends with pau.")
    return segments


def token_phonemes(segments: list[Segment], length: int) -> np.ndarray:
    """Index in PHONEMES int32 (L,) of the phoneme that takes most of each token.

    One that takes most of none, as a short `d` on the border of two, gets the token it shares most of where the
    phoneme that has it keeps another: 2.5 % of all would be lost otherwise.
    """
    ends = np.asarray([end for _, end in segments])
    starts = np.concatenate([[0.0], ends[:-1]])
    ends[-1] = max(ends[-1], length * TOKEN_SECONDS)
    left = np.arange(length)[:, None] * TOKEN_SECONDS
    shared = np.minimum(ends, left + TOKEN_SECONDS) - np.maximum(starts, left)
    classes = np.asarray([PHONEMES.index(phoneme) for phoneme, _ in segments], np.int32)
    owners = shared.argmax(axis=1)
    for segment in np.setdiff1d(np.arange(len(segments)), owners):
        token = shared[:, segment].argmax()
        if (owners == owners[token]).sum() > 1:
            owners[token] = segment
    return classes[owners]


def token_pitches(f0: np.ndarray, median: float, length: int) -> np.ndarray:
    """Pitch class int32 (L,) of F0 float (T,) in Hz, 0 where unvoiced, against the speaker's median F0 in Hz.

    A token is voiced where half of its frames are; its F0 is their median.
    """
    frames = np.zeros(_FRAMES * length)
    frames[: len(f0)] = f0[: len(frames)]
    tokens = frames.reshape(length, _FRAMES)
    voiced = (tokens > 0).sum(axis=1) >= _FRAMES // 2
    middle = np.asarray(
        [np.median(row[row > 0]) if heard else median for row, heard in zip(tokens, voiced, strict=True)]
    )
    classes = 1 + np.searchsorted(PITCH_STEPS, 12 * np.log2(middle / median))
    return np.where(voiced, classes, 0).astype(np.int32)


def token_labels(segments: list[Segment], f0: np.ndarray, median: float, length: int) -> np.ndarray:
    """Label int32 (L,) of each token: phoneme class * PITCHES + pitch class."""
    return token_phonemes(segments, length) * PITCHES + token_pitches(f0, median, length)
