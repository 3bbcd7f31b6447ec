"""A reading of the teacher through more and more of the model."""

import json
import shutil

import numpy as np
import pytest

from cosy_jax.audio.resample import resample
from cosy_jax.config import ModelConfig
from cosy_jax.evaluate.sound import load
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.synthesis.synthesizer import Synthesizer
from recipes.embedded_voice import stages
from recipes.embedded_voice.ideal import LEARNT
from tests.reference import REPOSITORY

READING = "tests/data/slt.flac"
TEXT = "The student's mother measured a poor brown kettle for twelve pounds in the afternoon."


@pytest.fixture(scope="module")
def rendered():
    pytest.importorskip("librosa")
    synthesizer = Synthesizer(REPOSITORY / "weights" / "embedded")
    line = {"text": TEXT, "voice": "slt", "reference": READING}
    if shutil.which("flite") is None:
        pytest.skip("flite is not installed")
    ids = np.asarray(json.loads(LEARNT.read_text())["ids"])
    return dict(stages.renderings(synthesizer, line, REPOSITORY, ids))


def log_mel(audio):
    config = ModelConfig()
    return mel_spectrogram(audio, config.prompt_mel, config.sample_rate)


@pytest.mark.slow
@pytest.mark.parametrize(
    "stage, likeness",
    [
        ("mel, Griffin-Lim", 0.9),
        ("mel, vocoder", 0.9),
        ("tokens, flow, Griffin-Lim", 0.7),
        ("tokens, flow, vocoder", 0.7),
        ("labels' ids, flow, vocoder", 0.7),
    ],
)
def test_every_stage_keeps_what_is_said(rendered, stage, likeness):
    """Time for time: the mel of what comes out is the reading's."""
    samples, rate = load(str(REPOSITORY / READING))
    wanted, found = log_mel(resample(samples, rate, 24000)), log_mel(rendered[stage])
    frames = min(len(wanted), len(found))
    assert abs(len(wanted) - len(found)) <= 2
    wanted, found = wanted[:frames, :60], found[:frames, :60]  # above, flite has nothing
    assert np.corrcoef(wanted.ravel(), found.ravel())[0, 1] > likeness
