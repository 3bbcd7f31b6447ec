"""A voice to speak in."""

from dataclasses import dataclass

import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt


@dataclass(frozen=True)
class Voice:
    """A recorded voice: what its recording contributes, what is said in it ("" where that is not known), and the
    digest of the encoders that made it (`checkpoint.reader.encoders_digest`; "" where that is not known)."""

    prompt: Prompt
    transcript: str = ""
    encoders: str = ""


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
