"""Voices that a converted folder brings, when it is written again."""

import json
import shutil

import jax
import numpy as np
import pytest
from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file

from cosy_jax.checkpoint.integrity import open_folder, verify_digests
from cosy_jax.checkpoint.reader import encoders_digest, load_config
from cosy_jax.cli import main
from cosy_jax.conversions.convert import convert
from cosy_jax.conversions.export import export_release
from cosy_jax.conversions.output import check_output
from cosy_jax.conversions.voices import VoiceLeftWarning
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voices import list_voices, save_voice, weights_voices
from cosy_jax.train.export import export_model
from tests.conftest import TINY
from tests.conversions.release import write_release
from tests.saved import bringing, made_up


@pytest.fixture
def weights(tmp_path):
    return bringing(tmp_path / "model", slt=made_up("What slt says."), old=made_up(encoders="others"))


def params(stage):
    return unflatten_dict(load_file(TINY / f"{stage}.safetensors"), sep="/")


def brought(folder):
    return [info.name for info in list_voices(weights_voices(folder))]


def test_digests_cover_them(weights):
    assert "voices/slt.safetensors" in verify_digests(weights)
    path = weights / "voices" / "slt.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-4] + b"abcd")
    with pytest.raises(CosyError, match="slt.safetensors is not the file that was converted"):
        verify_digests(weights)
    path.write_bytes(content[:-4])
    with pytest.raises(CosyError, match="truncated or was changed"):
        open_folder(weights)


def test_a_trained_model_brings_those_of_its_encoders(weights, tmp_path):
    out = tmp_path / "out"
    with pytest.warns(VoiceLeftWarning, match="old were not made with these encoders"):
        export_model(weights, out, "vocoder", params("vocoder"), load_config(weights))
    assert brought(out) == ["slt"] and "voices/slt.safetensors" in verify_digests(out)
    # Those that were saved into it stay when it is written again.
    save_voice(weights_voices(out), "rms", made_up(), load_config(out))
    export_model(TINY, out, "vocoder", params("vocoder"), load_config(TINY))
    assert brought(out) == ["rms", "slt"] and "voices/rms.safetensors" in verify_digests(out)


def test_other_encoders_leave_all(weights, tmp_path):
    changed = jax.tree.map(lambda leaf: leaf + np.float32(0.5), params("speaker_encoder"))
    with pytest.warns(VoiceLeftWarning, match="old, slt were not made with these encoders"):
        export_model(weights, tmp_path / "out", "speaker_encoder", changed, load_config(weights))
    assert not weights_voices(tmp_path / "out").exists()


@pytest.mark.slow
def test_converted_again_a_folder_keeps_its_voices(tmp_path):
    release, out = tmp_path / "release", tmp_path / "out"
    write_release(release)
    convert(release, out)
    save_voice(weights_voices(out), "anna", made_up(encoders=encoders_digest(out)), load_config(TINY))
    convert(release, out, "bfloat16")
    assert brought(out) == ["anna"]
    assert "voices/anna.safetensors" in json.loads((out / "config.json").read_text())["files"]


def test_other_files_beside_them_are_not_ours(weights):
    check_output(weights)
    (weights / "voices" / "letter.txt").write_text("Dear")
    with pytest.raises(CosyError, match=r"no converted model \(voices/letter.txt\)"):
        check_output(weights)


def test_a_release_has_none_and_says_so(weights, tmp_path):
    with pytest.warns(VoiceLeftWarning, match="A release has no saved voices: old, slt are not written"):
        export_release(weights, tmp_path / "out")


def test_info_names_them(weights, capsys):
    assert main(["info", str(weights), "--verify"]) == 0
    printed = capsys.readouterr().out
    assert "voices: old, slt" in printed and "voices/slt.safetensors" in printed.replace("\n", "")
    shutil.rmtree(weights / "voices")
    assert main(["info", str(weights)]) == 0
    assert "voices" not in capsys.readouterr().out
