"""A folder is loaded as the conversion wrote it, whole and with its own tokenizer, or not at all."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cosy_jax.checkpoint.finite import all_finite
from cosy_jax.checkpoint.integrity import check_complete, load_tokenizer, open_folder, verify_digests
from cosy_jax.checkpoint.reader import load_config, load_params
from cosy_jax.cli import main
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import BFLOAT16, FLOAT32, INT8
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY


@pytest.fixture
def folder(tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(TINY, tmp_path / "tiny")


def change(folder, **entries):
    """Puts entries into config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def perturb(path, value):
    """Puts a value into the middle of the last tensor of a file, which keeps its size."""
    content = path.read_bytes()
    path.write_bytes(content[:-8] + np.float32(value).tobytes() + content[-4:])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("stage", ["llm", "flow", "vocoder", "speech_tokenizer", "speaker_encoder"])
def test_weights_that_are_not_finite_are_refused(folder, stage, value):
    perturb(folder / f"{stage}.safetensors", value)
    with pytest.raises(CosyError, match=rf"{stage}\.safetensors holds NaN or infinite values in \w+"):
        Synthesizer(folder).params(stage)


@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16, INT8])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64, ml_dtypes.bfloat16])
def test_in_whatever_type_they_are_stored(folder, precision, kind):
    """And what is too large for the type that it is kept in."""
    for value in (np.nan, np.inf, *([1e39] if kind is np.float64 else [])):
        kernel = np.ones((3, 4), kind)
        kernel[1, 2] = value
        save_file({"a/kernel": kernel}, folder / "llm.safetensors")
        with pytest.raises(CosyError, match="NaN or infinite values in a/kernel"):
            load_params(folder, "llm", precision)


def test_finite_numbers_are_told_by_their_bits():
    for kind in (np.float16, np.float32, np.float64, ml_dtypes.bfloat16):
        largest = ml_dtypes.finfo(kind).max
        assert all_finite(np.asarray([[largest, -largest, 0.0]], kind)) and all_finite(np.zeros((0, 3), kind))
        for value in (np.nan, -np.nan, np.inf, -np.inf):
            values = np.zeros(2**18 + 3, kind)
            values[-1] = value
            assert not all_finite(values)


def test_weights_of_whole_numbers_are_refused(folder):
    save_file({"a": np.ones(3, np.int32)}, folder / "flow.safetensors")
    with pytest.raises(CosyError, match="int32 values in a, not floats"):
        load_params(folder, "flow")


def test_fewer_layers_than_the_configuration_says(folder):
    model = json.loads((folder / "config.json").read_text())["model"]
    model["speaker_encoder"]["block_layers"] = [128, 128, 128]
    change(folder, model=model)
    with pytest.raises(CosyError, match="12 layers block1_N, the setting speaker_encoder.block_layers .* says 128"):
        Synthesizer(folder).params("speaker_encoder")


@contextlib.contextmanager
def no_rights():
    """As a user who may not read what others have closed to them; the superuser may read all."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(before)


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs permissions of files")
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("vocoder.safetensors", lambda folder: load_params(folder, "vocoder")),
        ("config.json", load_config),
        ("tokenizer/merges.txt", lambda folder: load_tokenizer(folder, load_config(folder))),
        ("tokenizer/tokenizer_config.json", lambda folder: load_tokenizer(folder, load_config(folder))),
    ],
)
def test_unreadable_files_are_not_called_truncated(name, load):
    with tempfile.TemporaryDirectory() as place:
        os.chmod(place, 0o755)
        folder = Path(shutil.copytree(TINY, Path(place) / "tiny"))
        (folder / name).chmod(0)
        with no_rights(), pytest.raises(CosyError, match="[Pp]ermission denied") as caught:
            load(folder)
    assert "truncated" not in str(caught.value)


@pytest.mark.parametrize("name", ["flow.safetensors", "vocoder.safetensors", "speech_tokenizer.safetensors"])
def test_files_of_another_size_than_recorded(folder, name):
    tensors = load_file(folder / name)
    save_file(tensors, folder / name, {"note": "written by another program"})
    with pytest.raises(CosyError, match=rf"{name} has \d+ bytes, config\.json records \d+: it is truncated or was"):
        open_folder(folder)
    with pytest.raises(CosyError, match="config.json records"):
        Synthesizer(folder)


@pytest.mark.parametrize("share", [0.0, 0.5, 0.98])
def test_emptied_and_truncated_merges(folder, share):
    path = folder / "tokenizer" / "merges.txt"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    path.write_text("".join(lines[: round(share * len(lines))]), encoding="utf-8")
    with pytest.raises(CosyError, match=r"merges\.txt"):
        Synthesizer(folder)


def test_tokenizer_of_another_model(folder):
    """With as many entries, in another order: nothing but its digest tells."""
    path = folder / "tokenizer" / "vocab.json"
    vocab = json.loads(path.read_text(encoding="utf-8"))
    vocab["a"], vocab["b"] = vocab["b"], vocab["a"]
    path.write_text(json.dumps(vocab, ensure_ascii=False), encoding="utf-8")
    with pytest.raises(CosyError, match=r"vocab\.json is not the file that was converted"):
        Synthesizer(folder)
    change(folder, sources={})
    load_tokenizer(folder, load_config(folder))
    record = {"sha256": hashlib.sha256(b"other").hexdigest(), "bytes": path.stat().st_size}
    change(folder, files={"tokenizer/vocab.json": record})
    with pytest.raises(CosyError, match=r"vocab\.json is not the file that was converted"):
        Synthesizer(folder)


def test_ids_beyond_the_text_embedding(folder):
    model = json.loads((folder / "config.json").read_text())["model"]
    model["llm"]["text_vocab_size"] = 958
    change(folder, model=model)
    with pytest.raises(CosyError, match="ids up to 958, the language model knows 958: it is another model's"):
        Synthesizer(folder)


def test_digests(folder):
    assert verify_digests(folder) == sorted(
        [f"{stage}.safetensors" for stage in ("flow", "llm", "speaker_encoder", "speech_tokenizer", "vocoder")]
        + [f"tokenizer/{name}" for name in ("merges.txt", "tokenizer_config.json", "vocab.json")]
    )
    perturb(folder / "flow.safetensors", 0.25)
    open_folder(folder)
    with pytest.raises(CosyError, match=r"flow\.safetensors is not the file that was converted"):
        verify_digests(folder)
    change(folder, files={}, sources={})
    with pytest.raises(CosyError, match="records no digests"):
        verify_digests(folder)


@pytest.mark.parametrize(
    "name", ["flow.safetensors", "speaker_encoder.safetensors", "tokenizer/merges.txt", "llm.safetensors"]
)
def test_info_names_what_is_missing(folder, name, capsys):
    (folder / name).unlink()
    assert main(["info", str(folder)]) == 2
    error = capsys.readouterr().err
    assert name in error if name != "llm.safetensors" else "holds no language model" in error
    with pytest.raises(CosyError):
        check_complete(folder)


def test_info_verifies(folder, capsys):
    assert main(["info", "--verify", str(folder)]) == 0
    assert "unchanged since the conversion: flow.safetensors, llm.safetensors" in capsys.readouterr().out
    perturb(folder / "llm.safetensors", 0.25)
    assert main(["info", str(folder)]) == 0
    assert main(["info", "--verify", str(folder)]) == 2
    assert "llm.safetensors is not the file that was converted" in capsys.readouterr().err
