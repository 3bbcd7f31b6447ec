"""Voices told apart."""

import numpy as np
import pytest

from cosy_jax.audio.read import load_audio
from cosy_jax.errors import CosyError
from cosy_jax.evaluate.sets import read_set
from cosy_jax.evaluate.speaker import CamPlus, OnnxSpeaker, nearest, unit
from cosy_jax.evaluate.voices import SetVoices
from tests.compare.signals import RATE, noise, voice
from tests.conftest import TINY
from tests.evaluate.graphs import write_ends, write_maximum
from tests.reference import REPOSITORY

PROMPTS = [REPOSITORY / "tests" / "data" / f"prompt_{index}.flac" for index in (0, 1)]


def no_saved_voice(name):
    raise CosyError(f"no voice {name}")


@pytest.fixture
def model(tmp_path):
    return OnnxSpeaker(write_maximum(tmp_path / "model.onnx"))


def test_an_embedding_has_length_one_and_tells_voices_apart(model):
    same, other = model.embed(voice(120, 1.0), RATE), model.embed(noise(1.0), RATE)
    assert same.shape == (80,) and np.linalg.norm(same) == pytest.approx(1)
    # Half as loud: filter banks without their mean are the same.
    assert float(other @ model.embed(0.5 * noise(1.0), RATE)) == pytest.approx(1, abs=1e-3)
    assert float(same @ other) < 0.95


def test_a_network_from_samples(tmp_path):
    assert OnnxSpeaker(write_ends(tmp_path / "ends.onnx")).embed(voice(100), RATE) == pytest.approx([1])


def test_other_networks_are_refused(tmp_path):
    with pytest.raises(CosyError, match="takes neither samples nor 80 filter banks"):
        OnnxSpeaker(write_maximum(tmp_path / "other.onnx", bands=40))


def test_too_short_to_know(model):
    with pytest.raises(CosyError, match=r"Nothing is known of a voice from 0\.010 s"):
        model.embed(voice(100, 0.01), RATE)


def test_nearest_of_several():
    voices = {"anna": unit(np.array([1.0, 0, 0])), "ben": unit(np.array([0, 1.0, 0]))}
    assert nearest(unit(np.array([0.5, 0.6, 0.7])), voices) == "ben"


@pytest.fixture
def items(tmp_path):
    path = tmp_path / "set"
    path.write_text("".join(f"u{i}|Words.|{prompt}|Good morning.\n" for i, prompt in enumerate(PROMPTS)))
    return read_set(path, tmp_path)


def test_each_prompt_is_nearest_to_itself(items, model):
    voices = SetVoices(items, model, no_saved_voice)
    for item, prompt in zip(items, PROMPTS, strict=True):
        assert voices.judge(item, prompt) == {"similarity": 1.0, "nearest": str(prompt)}
    crossed = voices.judge(items[0], PROMPTS[1])
    assert crossed["nearest"] == str(PROMPTS[1]) and crossed["similarity"] < 1


def test_what_else_a_judgement_depends_on(items, model):
    voices = SetVoices(items, model, no_saved_voice)
    assert voices.digest(items[0]) != voices.digest(items[1])
    assert voices.digest(items[0]) != SetVoices(items[:1], model, no_saved_voice).digest(items[0])


def test_a_saved_voice_is_known_to_its_own_model_alone(tmp_path, model):
    path = tmp_path / "set"
    path.write_text('{"key": "a", "text": "Hi.", "voice": "anna"}')
    (item,) = read_set(path, tmp_path)
    assert SetVoices([item], model, no_saved_voice).judge(item, PROMPTS[0]) == {"similarity": None, "nearest": None}


@pytest.mark.slow
def test_the_models_own_encoder(items):
    voices = SetVoices(items, CamPlus(TINY), no_saved_voice)
    assert voices.judge(items[0], PROMPTS[0])["similarity"] == pytest.approx(1, abs=1e-4)
    samples, rate = load_audio(PROMPTS[0])
    assert CamPlus(TINY).embed(samples, rate).shape == (192,)
