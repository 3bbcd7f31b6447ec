import hashlib
import json
import shutil
import sys

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.conversions.convert import convert
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.conversions.tokenizer_files import TOKENIZER_FILES
from cosy_jax.conversions.verify import verify_encoders
from cosy_jax.errors import CosyError
from tests.conversions.onnx_writer import write_onnx
from tests.conversions.pt_writer import write_pt
from tests.conversions.release import CONFIG, largest_error, write_release
from tests.reference import reference_dir, requires_reference


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release") / "model"
    return folder, write_release(folder)


@pytest.fixture
def model(original, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(original[0], tmp_path / "model")


def assert_nothing_written(tmp_path):
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_release_comes_back(original, tmp_path):
    folder, params = original
    told = []
    report = convert(folder, tmp_path / "a" / "out", progress=lambda *step: told.append(step))
    assert load_config(tmp_path / "a" / "out") == report.config == CONFIG
    for stage, values in params.items():
        found = load_file(tmp_path / "a" / "out" / f"{stage}.safetensors")
        assert largest_error(found, values) <= (1e-6 if stage == "vocoder" else 0), stage
    for name in TOKENIZER_FILES:
        copied, content = (tmp_path / "a" / "out" / "tokenizer" / name), (folder / "CosyVoice-BlankEN" / name)
        assert copied.read_bytes() == content.read_bytes()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["out"]
    last = {file: (done, total) for file, done, total in told}
    assert last.keys() == report.files.keys() and all(done == total for done, total in last.values())
    manifest = json.loads((tmp_path / "a" / "out" / "config.json").read_text())
    assert manifest["llm_variants"] == ["llm", "llm.rl"]
    content = (folder / "flow.pt").read_bytes()
    assert manifest["sources"]["flow.pt"] == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.slow
def test_safetensors_releases_convert_alike(original, tmp_path):
    write_release(tmp_path / "model", "safetensors")
    convert(original[0], tmp_path / "pt")
    convert(tmp_path / "model", tmp_path / "safetensors")
    for stage in STAGE_RULES:
        name = f"{stage}.safetensors"
        assert (tmp_path / "pt" / name).read_bytes() == (tmp_path / "safetensors" / name).read_bytes()


def test_only_the_large_matrices_become_bfloat16(original, tmp_path):
    convert(original[0], tmp_path / "out", dtype="bfloat16")
    for stage, values in original[1].items():
        found = load_file(tmp_path / "out" / f"{stage}.safetensors")
        rounded = stage in ("llm", "llm.rl", "flow")
        for name, array in found.items():
            half = rounded and array.ndim >= 2
            assert array.dtype == (ml_dtypes.bfloat16 if half else np.float32), name
            np.testing.assert_allclose(array.astype(np.float32), values[name], rtol=2**-8 if half else 1e-6)


@pytest.mark.parametrize("missing", ["llm.pt", "llm.rl.pt"])
def test_one_language_model_is_enough(model, tmp_path, missing):
    (model / missing).unlink()
    assert len(convert(model, tmp_path / "out").llm_variants) == 1


@pytest.mark.parametrize(
    "missing",
    [
        "flow.pt",
        "hift.pt",
        "campplus.onnx",
        "speech_tokenizer_v3.onnx",
        "cosyvoice3.yaml",
        "CosyVoice-BlankEN/config.json",
        "CosyVoice-BlankEN/vocab.json",
        "CosyVoice-BlankEN/merges.txt",
    ],
)
def test_a_missing_file_is_named(model, tmp_path, missing):
    (model / missing).unlink()
    with pytest.raises(CosyError, match=f"{missing} is missing"):
        convert(model, tmp_path / "out")
    assert_nothing_written(tmp_path)


def test_a_missing_folder_or_language_model_is_named(model, tmp_path):
    with pytest.raises(CosyError, match="nowhere is not a folder"):
        convert(tmp_path / "nowhere", tmp_path / "out")
    (model / "llm.pt").unlink()
    (model / "llm.rl.pt").unlink()
    with pytest.raises(CosyError, match=r"neither llm\.pt nor llm\.rl\.pt"):
        convert(model, tmp_path / "out")


@pytest.mark.parametrize(
    "old, new, reason",
    [
        ("CosyVoice3LM", "CosyVoice2LM", "only CosyVoice 3"),
        ("    depth: 2\n", "    layers: 2\n", "no 'flow.decoder.estimator.depth'"),
        ("depth: 2", "depth: two", "'flow.decoder.estimator.depth' is 'two'"),
        ("depth: 2", "depth: 3", r"transformer_blocks\.2\.attn"),
        ("llm_input_size: 8", "llm_input_size: 9", "hidden_size 8"),
        ("speech_token_size: 9", "speech_token_size: 10", "has 10 speech tokens"),
        ("inference_cfg_rate: 0.7", "inference_cfg_rate: high", "is 'high', not a number"),
        ("[16, 11, 7]", "[16, 11, big]", "not a list of whole numbers"),
        ("[16, 11, 7]", "[]", "not a list of whole numbers"),
        ("[16, 11, 7]", f"{list(range(1, 1000))}", "not a list of whole numbers"),
        ("depth: 2", "depth: 100000000", "'flow.decoder.estimator.depth' is 100000000, not a whole number from 1 to"),
        ("depth: 2", "depth: 60000", "too few for 60000 layers"),
        ("depth: 2", "depth: -2", "not a whole number"),
        ("depth: 2", "depth: true", "not a whole number"),
        ("depth: 2", f"depth: {'[' * 20}{']' * 20}", "not of type int"),
        ("    heads: 2", "    heads: 0", "not a whole number"),
        ("    heads: 2", "    heads: 3", "fit no network|does not fit"),
        ("n_fft: 16", "n_fft: 65536", "not a whole number from 1 to 1024"),
        ("inference_cfg_rate: 0.7", "inference_cfg_rate: .nan", "not a number of finite size"),
        ("inference_cfg_rate: 0.7", f"inference_cfg_rate: {'9' * 900}", "not a number"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_settings_of_another_model_are_refused(model, tmp_path, old, new, reason):
    path = model / "cosyvoice3.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    with pytest.raises(CosyError, match=reason):
        convert(model, tmp_path / "out")
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize(
    "content, reason",
    [
        ("[" * 100_000, "not readable as JSON"),
        ("{}" + " " * (2 << 20), "is larger than 1024 KiB"),
        (b"\xff{}", "not readable as JSON"),
        ("[]", "has no 'model_type'"),
        ({"model_type": ["qwen2"] * 10_000}, "not qwen2"),
        ({"num_hidden_layers": 10**8}, "not a whole number"),
        ({"num_hidden_layers": 5000}, "too few for 5000 layers"),
        ({"num_attention_heads": 0}, "not a whole number"),
        ({"num_attention_heads": 5}, "fit no network|does not fit"),
        ({"num_key_value_heads": 3}, "fit no network|does not fit"),
        ({"rope_theta": "1e999"}, "not a number of finite size"),
        ({"rope_theta": 10**400}, "not a number"),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_hostile_settings_of_the_language_model_are_one_short_sentence(model, tmp_path, content, reason):
    path = model / "CosyVoice-BlankEN" / "config.json"
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(CosyError, match=reason) as raised:
        convert(model, tmp_path / "out")
    assert len(str(raised.value).splitlines()[0]) < 400 + len(str(path))
    assert_nothing_written(tmp_path)


def test_a_folder_of_an_older_model_is_named(model, tmp_path):
    (model / "cosyvoice3.yaml").rename(model / "cosyvoice2.yaml")
    with pytest.raises(CosyError, match=r"holds cosyvoice2\.yaml"):
        convert(model, tmp_path / "out")


def test_damaged_weights_leave_nothing(model, tmp_path):
    content = (model / "flow.pt").read_bytes()
    (model / "flow.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(CosyError, match=r"flow\.pt is truncated"):
        convert(model, tmp_path / "out")
    write_pt(model / "flow.pt", {"discriminator.weight": np.zeros(3, np.float32)})
    with pytest.raises(CosyError, match="in the file, not expected: discriminator.weight"):
        convert(model, tmp_path / "out")
    assert_nothing_written(tmp_path)


@pytest.mark.parametrize("name", ["campplus.onnx", "speech_tokenizer_v3.onnx"])
def test_a_graph_of_another_network_is_refused(model, tmp_path, name):
    write_onnx(model / name, {"/encoder/MatMul:weight": np.zeros((3, 4), np.float32)})
    with pytest.raises(CosyError, match=f"{name}.* has no weight"):
        convert(model, tmp_path / "out")


def test_other_files_are_not_replaced(model, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("mine")
    with pytest.raises(CosyError, match="no converted model"):
        convert(model, out)
    with pytest.raises(CosyError, match="no converted model"):
        convert(model, model)
    convert(model, tmp_path / "converted")
    (tmp_path / "converted" / "notes.txt").write_text("mine")
    with pytest.raises(CosyError, match="no converted model"):
        convert(model, tmp_path / "converted")
    with pytest.raises(CosyError, match="is a file"):
        convert(model, out / "thesis.txt")
    with pytest.raises(CosyError, match="cannot be written"):
        convert(model, out / "thesis.txt" / "below")
    assert [path.name for path in out.iterdir()] == ["thesis.txt"]


@pytest.mark.slow
def test_an_interrupted_conversion_leaves_the_earlier_one(model, tmp_path):
    def interrupt(file, done, total):
        if file == "vocoder.safetensors":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(model, tmp_path / "new" / "out", progress=interrupt)
    assert_nothing_written(tmp_path)
    convert(model, tmp_path / "out")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    with pytest.raises(KeyboardInterrupt):
        convert(model, tmp_path / "out", progress=interrupt)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("*")}
    convert(model, tmp_path / "out", dtype="bfloat16")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["dtype"] == "bfloat16"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model", "out"]


def test_unknown_dtype(model, tmp_path):
    with pytest.raises(CosyError, match="Unknown dtype 'float16'"):
        convert(model, tmp_path / "out", dtype="float16")


def test_verifying_without_onnxruntime_names_the_remedy(model, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(CosyError, match="pip install onnxruntime"):
        convert(model, tmp_path / "out", verify=True)
    assert_nothing_written(tmp_path)


@pytest.mark.slow
@requires_reference
def test_files_that_torch_wrote_convert_alike(tmp_path):
    model = reference_dir() / "model"
    shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("*.pt"))
    pt = convert(model, tmp_path / "pt")
    safetensors = convert(tmp_path / "model", tmp_path / "safetensors")
    assert "hift.pt" in pt.sources and "hift.safetensors" in safetensors.sources
    for stage in ("llm", "flow", "vocoder", "speech_tokenizer", "speaker_encoder"):
        name = f"{stage}.safetensors"
        assert (tmp_path / "pt" / name).read_bytes() == (tmp_path / "safetensors" / name).read_bytes()


@pytest.mark.slow
@requires_reference
def test_converted_encoders_agree_with_onnxruntime(tmp_path):
    pytest.importorskip("onnxruntime")
    reference = reference_dir()
    found = convert(reference / "model", tmp_path / "out", verify=True).verification
    assert found.token_agreement >= 0.99 and found.embedding_error <= 1e-5
    recorded = verify_encoders(reference / "model", tmp_path / "out", [reference / "prompt_0.wav"])
    assert recorded.tokens > found.tokens and recorded.token_agreement >= 0.99
    wrong = load_file(tmp_path / "out" / "speaker_encoder.safetensors")
    wrong["dense/linear/kernel"] = wrong["dense/linear/kernel"][::-1].copy()
    save_file(wrong, tmp_path / "out" / "speaker_encoder.safetensors")
    with pytest.raises(CosyError, match="encoders differ"):
        verify_encoders(reference / "model", tmp_path / "out")
