"""Saved voices: what comes back is what was kept, and no other file is taken for a voice."""

import unicodedata
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voice import Voice
from cosy_jax.synthesis.voices import (
    FORMAT,
    VERSION,
    OldVoiceWarning,
    VoiceInfo,
    default_folder,
    inspect_voice,
    list_voices,
    load_voice,
    remove_voice,
    save_voice,
)
from tests.fuzz.harness import framed
from tests.reference import REPOSITORY

RANDOM = np.random.default_rng(0)
TENSORS = {
    "speech_tokens": np.arange(25, dtype=np.int32),
    "mel": RANDOM.normal(-4, 2, (50, 80)).astype(np.float32),
    "speaker_embedding": RANDOM.standard_normal(192).astype(np.float32),
}
VOICE = Voice(Prompt(**TENSORS), "Guten Tag, [laughter] 你好。", "abc")
CONFIG = ModelConfig()
METADATA = {
    "format": FORMAT,
    "version": VERSION,
    "transcript": "",
    "seconds": "1.00",
    "source": "",
    "encoders": "digest",
}


def write(folder: Path, tensors=TENSORS, metadata=METADATA) -> Path:
    path = folder / "ann.safetensors"
    path.write_bytes(safetensors.numpy.save(tensors, metadata))
    return path


def test_what_was_saved_comes_back(tmp_path):
    folder = tmp_path / "new" / "voices"
    path = save_voice(folder, "ann", VOICE, CONFIG, source="ann.wav")
    loaded = load_voice(folder, "ann")
    assert loaded.transcript == VOICE.transcript
    for name, values in TENSORS.items():
        found = getattr(loaded.prompt, name)
        assert found.dtype == values.dtype
        np.testing.assert_array_equal(found, values)
    assert inspect_voice(folder, "ann") == VoiceInfo("ann", path, 1.0, VOICE.transcript, "ann.wav", "abc")
    assert list(folder.iterdir()) == [path]


def test_same_voice_is_the_same_file(tmp_path):
    path = save_voice(tmp_path, "ann", VOICE, CONFIG)
    files = {save_voice(tmp_path, "ann", VOICE, CONFIG, overwrite=True).read_bytes() for _ in range(10)}
    assert files == {path.read_bytes()}


@pytest.mark.slow
def test_saved_voice_speaks_as_the_recording_does(synthesizer, tmp_path):
    voice = synthesizer.voice(REPOSITORY / "tests/data/prompt_1.flac", "Some words.")
    save_voice(tmp_path, "ann", voice, synthesizer.config)
    for instruct in (None, "Whisper."):
        voices = voice, load_voice(tmp_path, "ann")
        speeches = [synthesizer.speak(Request("Hello.", each, instruct=instruct)) for each in voices]
        np.testing.assert_array_equal(speeches[0].audio, speeches[1].audio)


def test_list_is_sorted_and_names_what_is_damaged(tmp_path):
    assert list_voices(tmp_path / "absent") == []
    for name in ("bob", "ann", "Zoë-1.5_b", "李"):
        save_voice(tmp_path, name, VOICE, CONFIG)
    (tmp_path / "bad.safetensors").write_text("no voice")
    (tmp_path / ".bob.safetensors.tmp").write_text("left by a crash")
    (tmp_path / "notes.txt").write_text("other")
    infos = list_voices(tmp_path)
    assert [info.name for info in infos] == ["Zoë-1.5_b", "ann", "bad", "bob", "李"]
    assert [info.name for info in infos if info.problem] == ["bad"]


def test_taken_name(tmp_path):
    save_voice(tmp_path, "ann", VOICE, CONFIG)
    with pytest.raises(CosyError, match="A voice 'ann' exists .*overwrite"):
        save_voice(tmp_path, "ann", replace(VOICE, transcript="new"), CONFIG)
    assert load_voice(tmp_path, "ann").transcript == VOICE.transcript
    save_voice(tmp_path, "ann", replace(VOICE, transcript="new"), CONFIG, overwrite=True)
    assert load_voice(tmp_path, "ann").transcript == "new"


def test_remove(tmp_path):
    path = save_voice(tmp_path, "ann", VOICE, CONFIG)
    remove_voice(tmp_path, "ann")
    assert not path.exists()
    with pytest.raises(CosyError, match="it holds no voice"):
        remove_voice(tmp_path, "ann")


@pytest.mark.parametrize("name", ["", ".ann", "-ann", "a/b", "../ann", "a b", "a\n", "a\0", "é" * 101])
def test_invalid_name(tmp_path, name):
    for action in (lambda: save_voice(tmp_path, name, VOICE, CONFIG), lambda: load_voice(tmp_path, name)):
        with pytest.raises(CosyError, match="not valid: use letters"):
            action()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kept", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_composed_and_decomposed_names_are_the_same(tmp_path, kept, asked):
    """macOS hands out names decomposed; files that come from there keep them."""
    name = unicodedata.normalize(asked, "Zoë-日本が")
    path = save_voice(tmp_path, "Zoë-日本が", VOICE, CONFIG)
    path.rename(tmp_path / unicodedata.normalize(kept, path.name))
    np.testing.assert_array_equal(load_voice(tmp_path, name).prompt.mel, VOICE.prompt.mel)
    assert [info.name for info in list_voices(tmp_path)] == [unicodedata.normalize("NFC", name)]
    with pytest.raises(CosyError, match="exists"):
        save_voice(tmp_path, name, VOICE, CONFIG)
    save_voice(tmp_path, name, VOICE, CONFIG, overwrite=True)
    remove_voice(tmp_path, name)
    assert not list(tmp_path.iterdir())


def test_unknown_voice_lists_the_known(tmp_path):
    for name in ("bob", "ann"):
        save_voice(tmp_path, name, VOICE, CONFIG)
    with pytest.raises(CosyError, match="No voice 'cleo' in .*: it holds ann, bob"):
        load_voice(tmp_path, "cleo")


def test_truncated_file(tmp_path):
    path = write(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(CosyError, match="truncated or no voice file"):
        load_voice(tmp_path, "ann")


def test_a_type_that_numpy_has_not(tmp_path):
    shapes = {name: list(values.shape) for name, values in TENSORS.items()}
    header = {name: {"dtype": "F8_E4M3", "shape": shape, "data_offsets": [0, 0]} for name, shape in shapes.items()}
    end = 0
    for entry in header.values():
        size = np.prod(entry["shape"]).item()
        entry["data_offsets"], end = [end, end + size], end + size
    (tmp_path / "ann.safetensors").write_bytes(framed({"__metadata__": METADATA, **header}, bytes(end)))
    with pytest.raises(CosyError, match="truncated or no voice file"):
        load_voice(tmp_path, "ann")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "no voice file of cosy_jax"),
        ({"format": "pt"}, "no voice file of cosy_jax"),
        (METADATA | {"version": "2"}, "format version 2, this program reads 1"),
        (METADATA | {"seconds": "long"}, "metadata .* damaged"),
        ({"format": FORMAT, "version": VERSION}, "metadata .* damaged"),
    ],
)
def test_foreign_metadata(tmp_path, metadata, message):
    write(tmp_path, metadata=metadata)
    with pytest.raises(CosyError, match=message):
        load_voice(tmp_path, "ann")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mel", TENSORS["mel"].astype(np.float16), "mel as float16"),
        ("mel", TENSORS["mel"] * np.nan, "NaN or infinite values in mel"),
        ("speech_tokens", np.full(25, -1, np.int32), "some below 0"),
        ("speech_tokens", np.full((25, 1), 1, np.int32), r"\(25, 1\), not int32 of 1 axes"),
    ],
)
def test_unusable_tensors(tmp_path, name, values, message):
    write(tmp_path, TENSORS | {name: values})
    with pytest.raises(CosyError, match=message):
        load_voice(tmp_path, "ann")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("mel", TENSORS["mel"][:-1], r"mel is \(49, 80\), these weights take \(50, 80\)"),
        ("mel", TENSORS["mel"][:, :79], r"\(50, 79\), these weights take \(50, 80\)"),
        ("speaker_embedding", np.zeros(191, np.float32), r"\(191,\), these weights take \(192,\)"),
        ("speech_tokens", np.full(25, 6561, np.int32), "speech tokens that these weights do not know"),
    ],
)
def test_voice_of_another_model(synthesizer, tmp_path, name, values, message):
    voice = replace(VOICE, prompt=Prompt(**TENSORS | {name: values}), encoders=synthesizer.encoders)
    with pytest.raises(CosyError, match=message):
        save_voice(tmp_path, "ann", voice, CONFIG)
    with pytest.raises(CosyError, match=message):
        synthesizer.speak(Request("Hello.", voice))


def test_voice_of_other_encoders_is_refused(synthesizer, tmp_path):
    save_voice(tmp_path, "ann", VOICE, CONFIG)
    speaker = Synthesizer(synthesizer.weights, voices=tmp_path)
    with pytest.raises(CosyError, match="made with other encoders"):
        speaker.speak(Request("Hello.", "ann"))


def test_old_file_without_its_encoders_warns(synthesizer, tmp_path):
    write(tmp_path, metadata={name: value for name, value in METADATA.items() if name != "encoders"})
    with pytest.warns(OldVoiceWarning, match="'ann' does not say which encoders made it"):
        voice = load_voice(tmp_path, "ann")
    assert voice.encoders == "" and synthesizer.find_voice(voice) is voice


def test_missing_tensor(tmp_path):
    write(tmp_path, {name: values for name, values in TENSORS.items() if name != "mel"})
    with pytest.raises(CosyError, match="lacks mel"):
        load_voice(tmp_path, "ann")


def test_empty_voice_is_not_saved(tmp_path):
    empty = Prompt(np.zeros(0, np.int32), np.zeros((0, 80), np.float32), TENSORS["speaker_embedding"])
    with pytest.raises(CosyError, match="no speech tokens"):
        save_voice(tmp_path / "voices", "ann", Voice(empty), CONFIG)
    assert not (tmp_path / "voices").exists()


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CosyError, match="Cannot write into"):
        save_voice(tmp_path / "file" / "voices", "ann", VOICE, CONFIG)


def test_default_folder(monkeypatch):
    monkeypatch.setenv("COSY_JAX_VOICES", "/some/where")
    assert default_folder() == Path("/some/where")
    monkeypatch.delenv("COSY_JAX_VOICES")
    assert default_folder() == Path.home() / ".local/share/cosy_jax/voices"
