"""The figures in words.

| grade | when |
| --- | --- |
| identical | every sample is the same |
| same signal | SNR, with lag and gain taken out, at least 60 dB: two roundings or two machines |
| nearly the same signal | at least 20 dB |
| same signal with noise or distortion | at least 0 dB |
| same speech, other waveform | log-mel distance at most 7 dB, durations within 25 % |
| different | else |

Log-mel distances, measured on three voices: the same recording 10 % faster 4 dB, a semitone higher 6 dB; one voice that
says two things 9 to 10 dB, two voices 10 to 14 dB.
"""

from cosy_jax.compare.level import Level
from cosy_jax.compare.measure import Comparison

SAME_DB, NEAR_DB, NOISY_DB = 60.0, 20.0, 0.0  # SNR
LIKE_MEL_DB, LIKE_DURATION = 7.0, 0.25
_GAIN_DB = 0.1  # said from here on
_LONGER = 0.05
_LONG_SILENCE = 0.5  # s
_QUIET_DB = -50.0  # RMS, dBFS
_DC = 0.01


def grade(comparison: Comparison) -> str:
    """One of the table above."""
    snr = comparison.alignment.matched_snr_db
    if comparison.identical:
        return "identical"
    if snr >= SAME_DB:
        return "same signal"
    if snr >= NEAR_DB:
        return "nearly the same signal"
    if snr >= NOISY_DB:
        return "same signal with noise or distortion"
    if comparison.mel_distance <= LIKE_MEL_DB and abs(comparison.longer) <= LIKE_DURATION:
        return "same speech, other waveform"
    return "different"


def sentence(comparison: Comparison) -> str:
    """The grade, the figure behind it, and what has to be undone to see it."""
    word, alignment = grade(comparison), comparison.alignment
    if word == "identical":
        return "identical, sample for sample"
    if alignment.matched_snr_db < NOISY_DB:
        return f"{word} (log-mel distance {comparison.mel_distance:.1f} dB)"
    changes = []
    if alignment.lag:
        changes.append(f"{abs(comparison.lag_seconds) * 1000:.1f} ms {'later' if alignment.lag > 0 else 'earlier'}")
    if abs(alignment.gain_db) >= _GAIN_DB:
        changes.append(f"{abs(alignment.gain_db):.1f} dB {'louder' if alignment.gain_db > 0 else 'quieter'}")
    if alignment.correlation < 0:
        changes.append("with inverted polarity")
    return ", ".join([f"{word} (SNR {alignment.matched_snr_db:.1f} dB)", *changes])


def file_warnings(level: Level, comparison: Comparison | None) -> list[str]:
    """What to look at in a recording, by itself and, unless it is the first (None), against the first."""
    longer = comparison.longer if comparison else 0.0
    found = {
        f"{level.clipped} clipped samples": level.clipped > 0,
        f"nearly silent (RMS {level.rms_db:.0f} dBFS)": level.rms_db < _QUIET_DB,
        f"constant offset of {level.dc:+.3f}": abs(level.dc) >= _DC,
        f"{level.head_silence:.2f} s of silence at the head": level.head_silence >= _LONG_SILENCE,
        f"{level.tail_silence:.2f} s of silence at the tail": level.tail_silence >= _LONG_SILENCE,
        f"{abs(longer):.0%} {'longer' if longer > 0 else 'shorter'} than the first": abs(longer) > _LONGER,
    }
    return [text for text, holds in found.items() if holds]
