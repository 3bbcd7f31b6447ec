"""Saved voices that no encoder has to run for."""

import shutil
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import encoders_digest, load_config
from cosy_jax.conversions.voices import record_voices
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.voice import Voice
from cosy_jax.synthesis.voices import save_voice, weights_voices
from tests.conftest import TINY


def made_up(transcript: str = "What is said.", encoders: str = "") -> Voice:
    """A voice in the tiny model's sizes, made with its encoders where no others are named."""
    random = np.random.default_rng(len(transcript))
    prompt = Prompt(
        np.arange(25, dtype=np.int32),
        random.normal(-4, 2, (50, 80)).astype(np.float32),
        random.standard_normal(192).astype(np.float32),
    )
    return Voice(prompt, transcript, encoders or encoders_digest(TINY))


def bringing(folder: Path, **voices: Voice) -> Path:
    """A copy of the tiny model that brings these voices."""
    shutil.copytree(TINY, folder)
    for name, voice in voices.items():
        save_voice(weights_voices(folder), name, voice, load_config(folder))
    record_voices(folder)
    return folder
