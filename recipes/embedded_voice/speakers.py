"""Who speaks: flite's four voices as they are, and others that resampling makes of them."""

from dataclasses import dataclass

# Median F0 in Hz of flite's voices over forty of the sentences (pyworld's dio and stonemask).
VOICES = {"slt": 170.0, "rms": 101.0, "awb": 127.0, "kal16": 89.0}


@dataclass(frozen=True)
class Speaker:
    """A flite voice, played `factor` times faster, which moves pitch and formants, at `pace` times its own duration."""

    name: str
    voice: str
    factor: float = 1.0
    pace: float = 1.0

    @property
    def median_f0(self) -> float:
        """In Hz."""
        return VOICES[self.voice] * self.factor


BASE = tuple(Speaker(voice, voice) for voice in VOICES)
# Factors are kept apart by some 5 %, and none is so near to 1 that two speakers would share a voice.
VARIANTS = tuple(
    Speaker(f"{voice}_{round(100 * factor)}", voice, factor, pace)
    for voice, factor, pace in (
        *(("slt", 0.88, 1.05), ("slt", 0.94, 0.95), ("slt", 1.1, 1.0)),
        *(("rms", 0.9, 0.95), ("rms", 1.07, 1.05), ("rms", 1.14, 1.0)),
        *(("awb", 0.88, 1.0), ("awb", 1.06, 0.95), ("awb", 1.12, 1.05)),
        *(("kal16", 0.92, 1.0), ("kal16", 1.08, 1.05), ("kal16", 1.14, 0.95)),
    )
)
# One round of this many utterances gives the four voices 60 %.
ROUND = (*BASE * 9, *VARIANTS * 2)
