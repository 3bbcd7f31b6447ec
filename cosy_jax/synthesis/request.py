"""One utterance to speak: what the command line, a manifest's line, a server and Python all ask for."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import Waveform
from cosy_jax.audio.speed import check_speed
from cosy_jax.errors import CosyError
from cosy_jax.recognise.recogniser import Recogniser
from cosy_jax.synthesis.modes import check_mode, check_transcript, default_mode
from cosy_jax.synthesis.voice import Voice
from cosy_jax.text.check import check_text
from cosy_jax.text.normalise import DEFAULT, FrontendOptions

SOLVERS = ("cached", "exact")
_SEEDS = 2**62  # beyond twice that, JAX refuses; the parts of a long text count on from the seed


@dataclass(frozen=True)
class Request:
    """What to say, in which voice and how. CosyError, with the field at fault, for what cannot be spoken.

    The voice is either `voice`, a saved one's name or one at hand, which brings its transcript, or `recording`, a file
    or samples float (S,) and their rate in Hz, of at most 30 s, or with `trim` the best 10 s of one of any length; mode
    zero-shot needs its `transcript`.
    """

    text: str | Iterable[str]  # the latter arrives while it is spoken: neither normalised nor split
    voice: str | Voice | None = None
    recording: str | Path | Waveform | None = None
    transcript: str | Recogniser | None = None  # or who finds it out
    trim: bool = False
    mode: str | None = None  # "zero-shot", "cross-lingual", "instruct"; None: instruct with an instruction
    instruct: str | None = None  # how to speak
    seed: int = 0
    speed: float = 1.0  # 0.5 to 2; the pitch stays
    frontend: FrontendOptions | None = None  # how a whole text is normalised and split; None: as `DEFAULT` says
    # As the reference does where it slips: it may stop below the minimum length, and with text that arrives it leaves
    # the layout of the training (`llm.policy.DecodePolicy`).
    reference_slips: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.text, str):
            check_text(self.text)
        elif self.frontend is not None:
            raise CosyError("Text that arrives in pieces is neither normalised nor split: leave it out.", "frontend")
        check_voice_choice(self.voice, self.recording, self.transcript, self.trim)
        check_mode(self.way, self.instruct or "")
        if self.recording is not None and not isinstance(self.transcript, Recogniser):
            check_transcript(self.way, self.transcript_at_hand)
        elif isinstance(self.voice, Voice):  # what a saved one says is known once it is loaded
            check_transcript(self.way, self.voice.transcript, saved=True)
        if not isinstance(self.seed, int | np.integer):
            raise CosyError("The seed is no whole number: use one such as 1.", "seed")
        if abs(int(self.seed)) > _SEEDS:
            raise CosyError(f"The seed is too large: use one from {-_SEEDS} to {_SEEDS}.", "seed")
        check_speed(self.speed)

    @property
    def way(self) -> str:
        """The mode, by its rule where none is given."""
        return self.mode or default_mode(self.instruct)

    @property
    def whole_text(self) -> str:
        """The text; CosyError where it arrives in pieces."""
        if not isinstance(self.text, str):
            raise CosyError("Text that arrives in pieces can only be streamed: pass it whole, or stream it.", "text")
        return self.text

    @property
    def voice_at_hand(self) -> Voice:
        """The voice; CosyError where it is still a name or a recording (`Synthesizer.resolve`)."""
        if not isinstance(self.voice, Voice):
            raise CosyError("The voice is a name or a recording: resolve the request first.", "voice")
        return self.voice

    @property
    def transcript_at_hand(self) -> str:
        """The transcript, "" where there is none; CosyError where a recogniser is to find it out (`resolve`)."""
        if isinstance(self.transcript, Recogniser):
            raise CosyError("The transcript is still to be found out: resolve the request first.", "transcript")
        return self.transcript or ""

    @property
    def normalisation(self) -> FrontendOptions:
        """How a whole text is normalised and split."""
        return self.frontend or DEFAULT

    def check_streamable(self) -> None:
        """CosyError for what a stream cannot do."""
        if self.speed != 1:
            raise CosyError("A stream cannot change the speed: leave it at 1, or do not stream.", "speed")

    def in_voice(self, voice: Voice) -> "Request":
        """The same in a voice that is at hand, such as that of this request once it is loaded or encoded."""
        return replace(self, voice=voice, recording=None, transcript=None, trim=False)


def check_voice_choice(
    voice: str | Voice | None,
    recording: str | Path | Waveform | None,
    transcript: str | Recogniser | None = None,
    trim: bool = False,
) -> None:
    """CosyError unless there is one voice, at most one transcript of it, and something to trim."""
    if (voice is None) == (recording is None):
        raise CosyError("Say in which voice to speak: give a recording or a voice, not both.", "recording", "voice")
    if voice is not None and transcript is not None:
        raise CosyError(
            "A voice brings its transcript: leave the transcript out, or save the voice again with it.", "transcript"
        )
    if voice is not None and trim:
        raise CosyError("Only a recording can be trimmed: give one, or leave it out.", "trim")


@dataclass(frozen=True)
class StreamOptions:
    """How a stream is computed. `solver` "cached" keeps what it has computed; "exact" solves every prefix anew, as the
    reference does. `left_chunks`: chunks of 1 s that a cached stream looks back on, None for all."""

    solver: str = "cached"
    left_chunks: int | None = None

    def __post_init__(self) -> None:
        if self.solver not in SOLVERS:
            raise CosyError(f"Unknown solver '{self.solver}': choose {' or '.join(SOLVERS)}.", "solver")
        if self.left_chunks is None:
            return
        if self.solver == "exact":
            raise CosyError("The exact solver looks back on all there is: bound the cached one.", "left_chunks")
        if self.left_chunks < 1:
            raise CosyError(f"A stream cannot look back {self.left_chunks} chunks: give 1 or more.", "left_chunks")
