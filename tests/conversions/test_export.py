"""The way back to the released layout."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.cli import main
from cosy_jax.conversions.convert import convert
from cosy_jax.conversions.export import ENCODERS, export_release
from cosy_jax.conversions.release_config import YAML_FILE
from cosy_jax.conversions.transforms import WEIGHT_NORM
from cosy_jax.errors import CosyError
from tests.conftest import TINY
from tests.conversions.release import write_release
from tests.reference import reference_dir, requires_reference

_KERNEL = ".parametrizations.weight.original"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    """A release, converted, and exported again."""
    root = tmp_path_factory.mktemp("export")
    write_release(root / "release", file_type="safetensors")
    convert(root / "release", root / "converted")
    export_release(root / "converted", root / "exported")
    return root / "release", root / "converted", root / "exported"


def assert_folds_alike(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> None:
    """The same keys and bits; of kernels in two parts the same kernel, up to rounding."""
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        if _KERNEL not in key:
            np.testing.assert_array_equal(ours[key], values, err_msg=key)
        elif key.endswith("0"):
            kernel, wanted = (WEIGHT_NORM.forward(part[key], part[key[:-1] + "1"]) for part in (ours, theirs))
            np.testing.assert_allclose(kernel, wanted, rtol=3e-7, err_msg=key)


@pytest.mark.parametrize("name", ["llm", "llm.rl", "flow"])
def test_networks_come_back_bit_by_bit(folders, name):
    release, _, exported = folders
    theirs, ours = (load_file(folder / f"{name}.safetensors") for folder in (release, exported))
    assert ours.keys() == theirs.keys()
    for key, values in theirs.items():
        np.testing.assert_array_equal(ours[key], values, err_msg=key)


def test_vocoder_comes_back_up_to_the_rounding_of_weight_norm(folders):
    release, _, exported = folders
    theirs, ours = (load_file(folder / "hift.safetensors") for folder in (release, exported))
    assert_folds_alike(ours, theirs)


def test_vocoder_has_the_keys_that_the_reference_has(tmp_path):
    """Its state dict has 328 entries, 82 of them kernels in two parts."""
    export_release(TINY, tmp_path / "out")
    names = load_file(tmp_path / "out" / "hift.safetensors").keys()
    assert len(names) == 328 and sum(name.endswith(f"{_KERNEL}0") for name in names) == 82
    assert {f"source_downs.{i}.weight" for i in range(3)} < names


@requires_reference
@pytest.mark.parametrize("name", ["llm", "flow", "hift"])
def test_files_of_the_reference_come_back(tmp_path, name):
    export_release(TINY, tmp_path / "out")
    ours = load_file(tmp_path / "out" / f"{name}.safetensors")
    found = load_file(reference_dir() / "model" / f"{name}.safetensors").items()
    theirs = {
        key.replace(".weight_g", f"{_KERNEL}0").replace(".weight_v", f"{_KERNEL}1"): value for key, value in found
    }
    assert_folds_alike(ours, theirs)


def test_an_exported_folder_converts_to_the_same_model(folders, tmp_path):
    release, converted, exported = folders
    again = shutil.copytree(exported, tmp_path / "again")
    for name in ENCODERS:
        (again / name).write_bytes((release / name).read_bytes())
    report = convert(again, tmp_path / "twice")
    assert report.config == load_config(converted)
    for name in ("llm", "flow", "speech_tokenizer"):
        first, second = (load_file(folder / f"{name}.safetensors") for folder in (converted, tmp_path / "twice"))
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_half_precision_is_exported_as_float32(folders, tmp_path):
    convert(folders[0], tmp_path / "half", dtype="bfloat16")
    export_release(tmp_path / "half", tmp_path / "out")
    ours, theirs = (load_file(folder / "flow.safetensors") for folder in (tmp_path / "out", folders[2]))
    assert {values.dtype for values in ours.values()} == {np.dtype(np.float32)}
    for key, values in theirs.items():
        np.testing.assert_allclose(ours[key], values, rtol=2**-8, atol=1e-30, err_msg=key)


def test_command_says_what_is_missing(folders, tmp_path, capsys):
    assert main(["export", str(folders[1]), str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "llm.safetensors, llm.rl.safetensors, flow.safetensors, hift.safetensors" in printed
    assert "speech_tokenizer_v3.onnx and campplus.onnx" in printed
    assert main(["export", str(folders[1]), str(tmp_path / "out")]) == 2
    assert "new or empty folder" in capsys.readouterr().err


def test_weights_of_another_configuration_are_refused_and_nothing_is_left(folders, tmp_path):
    broken = shutil.copytree(folders[1], tmp_path / "broken")
    content = json.loads((broken / "config.json").read_text())
    content["model"]["flow"]["depth"] += 1
    (broken / "config.json").write_text(json.dumps(content))
    with pytest.raises(CosyError, match="does not fit config.json"):
        export_release(broken, tmp_path / "out")
    shutil.rmtree(broken / "tokenizer")
    with pytest.raises(CosyError, match="holds no tokenizer"):
        export_release(broken, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_the_yaml_has_the_sections_that_the_reference_builds(folders):
    text = (folders[2] / YAML_FILE).read_text()
    for section in ("llm: !new:", "flow: !new:", "hift: !new:", "feat_extractor: !name:", "get_tokenizer: !name:"):
        assert f"\n{section}" in text
