"""A voice to speak in."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.audio.read import MAX_SECONDS, Waveform
from cosy_jax.audio.trim import cleanest_stretch
from cosy_jax.audio.usable import SHORTEST_VOICE, RecordingWarning, faults, load_speech, name_of
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt
from cosy_jax.recognise.recogniser import Recogniser
from cosy_jax.text.check import speaking_seconds

# Of the time that an even pace takes; nobody speaks so, pauses counted.
_SLOWEST, _FASTEST = 0.1, 2.5


@dataclass(frozen=True)
class Voice:
    """A recorded voice: what its recording contributes, what is said in it ("" where that is not known), and the
    digest of the encoders that made it (`checkpoint.reader.encoders_digest`; "" where that is not known)."""

    prompt: Prompt
    transcript: str = ""
    encoders: str = ""


def load_voice_recording(recording: str | Path | Waveform, trim: bool = False) -> Waveform:
    """A file, or samples float (S,) and their rate in Hz, as the recording of a voice: float32 (S,) and that rate.

    With `trim` the cleanest 10 s of a longer one (`audio.trim`). CosyError where it is none of speech, lasts less than
    0.5 s or, untrimmed, more than 30 s; `RecordingWarning` where it will be a bad voice, and of what was trimmed.
    """
    name = name_of(recording, "The recording")
    samples, rate = load_speech(recording, "The recording", SHORTEST_VOICE, None if trim else MAX_SECONDS)
    said = []
    if trim:
        start, stop = cleanest_stretch(samples, rate)
        if stop - start < len(samples):
            said.append(f"is used from {start / rate:.2f} s to {stop / rate:.2f} s: a transcript must say that alone")
        samples = samples[start:stop]
    for sentence in (*said, *faults(samples, rate)):
        warnings.warn(f"{name} {sentence}.", RecordingWarning, stacklevel=3)
    return samples, rate


def heard(recogniser: Recogniser, recording: Waveform) -> str:
    """What is said in samples float32 (S,) and their rate in Hz; CosyError where no word was recognised."""
    if words := recogniser.transcribe(*recording).strip():
        return words
    raise CosyError("No word was recognised in the recording: give its transcript.", "transcript")


def check_transcript_length(transcript: str, seconds: float) -> None:
    """`RecordingWarning` where a transcript, "" where none is known, cannot be what is said in a recording that long:
    the model then speaks what is left of one of them."""
    said = speaking_seconds(transcript)
    if said and not _SLOWEST * seconds <= said <= _FASTEST * seconds:
        warnings.warn(
            f"The transcript takes some {said:.1f} s to say and the recording {seconds:.1f} s: make sure that it is "
            "what is said there, word for word.",
            RecordingWarning,
            stacklevel=3,
        )


def check_voice(voice: Voice, config: ModelConfig, encoders: str) -> None:
    """CosyError where a model of these sizes and encoders cannot speak in the voice."""
    if voice.encoders and voice.encoders != encoders:
        raise CosyError("The voice was made with other encoders than these weights have: save it again.", "voice")
    flow, prompt = config.flow, voice.prompt
    tokens = len(prompt.speech_tokens)
    shapes = {"mel": (flow.token_mel_ratio * tokens, flow.mel_bands), "speaker_embedding": (flow.speaker_dim,)}
    for name, shape in shapes.items():
        found = getattr(prompt, name).shape
        if found != shape:
            raise CosyError(f"The voice's {name} is {found}, these weights take {shape}: save it again.", "voice")
    if np.max(prompt.speech_tokens, initial=0) >= flow.token_vocab_size:
        raise CosyError("The voice holds speech tokens that these weights do not know: save it again.", "voice")
