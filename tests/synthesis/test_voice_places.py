"""Voices that weights bring: found by name behind the user's own, wherever a name may stand."""

import pytest

from cosy_jax.batch.origin import Origins
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voices import inspect_voice, list_voices, load_voice, save_voice, voice_places, weights_voices
from tests.conftest import TINY
from tests.saved import bringing, made_up


@pytest.fixture
def weights(tmp_path):
    return bringing(tmp_path / "model", slt=made_up("Of the weights."), rms=made_up("The other."))


@pytest.fixture
def own(tmp_path):
    save_voice(tmp_path / "own", "slt", made_up("My own."), ModelConfig())
    save_voice(tmp_path / "own", "anna", made_up("Anna's."), ModelConfig())
    return tmp_path / "own"


def test_the_users_own_comes_first(weights, own):
    places = voice_places(own, weights)
    assert places == (own, weights_voices(weights))
    assert [(info.name, info.transcript) for info in list_voices(places)] == [
        ("anna", "Anna's."),
        ("rms", "The other."),
        ("slt", "My own."),
    ]
    assert load_voice(places, "rms").transcript == "The other."
    assert inspect_voice(places, "slt").path.parent == own


def test_an_unknown_name_is_told_all_there_are(weights, own):
    with pytest.raises(CosyError) as caught:
        load_voice(voice_places(own, weights), "bob")
    assert str(caught.value) == f"No voice 'bob' in {own} or {weights / 'voices'}: there are anna, rms, slt."


def test_without_a_home_there_are_still_the_weights_own(weights, monkeypatch):
    monkeypatch.delenv("COSY_JAX_VOICES", raising=False)
    monkeypatch.setattr("cosy_jax.files.home", lambda: None)
    assert voice_places(None, weights) == (weights_voices(weights),)
    for without in (TINY, None):
        with pytest.raises(CosyError, match="Nobody knows your home folder"):
            voice_places(None, without)


def test_weights_without_voices_add_no_place(own):
    assert voice_places(own, TINY) == voice_places(own, None) == (own,)


def test_a_synthesizer_looks_there_too(weights, own, monkeypatch, tmp_path):
    monkeypatch.setenv("COSY_JAX_VOICES", str(tmp_path / "absent"))
    assert Synthesizer(weights).find_voice("slt").transcript == "Of the weights."
    assert Synthesizer(weights, voices=own).find_voice("slt").transcript == "My own."


def test_speech_depends_on_the_voice_that_is_found(weights, own, tmp_path):
    """What a batch speaks again."""

    found = []
    for voices in (tmp_path / "absent", own):
        origins = Origins(Synthesizer(weights, voices=voices))
        found.append({name: origins.of(Request("Hello.", name)).voice for name in ("slt", "rms", "bob")})
    first, second = found
    assert first["slt"] != second["slt"] and first["rms"] == second["rms"] != second["bob"]
