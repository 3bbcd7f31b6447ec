"""Dumps that cannot be compared are bad input, with exit 2 and a sentence; exit 1 means that a limit is missed."""

import json
import shutil
from fnmatch import fnmatch

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cosy_jax.cli import main
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.parity.checks.llm import recorded_bounds
from cosy_jax.parity.contents import TENSORS
from cosy_jax.parity.dumps import inputs_of, read_cases, read_dump
from cosy_jax.parity.locate.diagnosis import diagnose
from cosy_jax.parity.report.report import read_provenance
from cosy_jax.parity.run import run_parity
from tests.conftest import TINY
from tests.fuzz.harness import framed
from tests.reference import REPOSITORY

DUMPS, TRACES = (REPOSITORY / "tests" / "data" / name for name in ("dumps", "traces"))
FILES = sorted(path.name for path in DUMPS.iterdir())


def changed(folder, name, change, source=DUMPS, **metadata):
    """A folder with that dump alone, its tensors changed."""
    with safe_open(source / name, "numpy") as file:
        before = file.metadata()
    tensors = load_file(source / name)
    change(tensors)
    save_file(tensors, folder / name, {**before, **metadata})
    return folder


def failure(synthesizer, folder):
    with pytest.raises(CosyError) as caught:
        list(run_parity(synthesizer, folder))
    return str(caught.value)


@pytest.mark.parametrize("name", FILES)
def test_dumps_of_the_repository_are_such_as_is_described(synthesizer, name):
    path = DUMPS / name
    if path.suffix == ".json":
        assert read_cases(path)["cases"]
    else:
        config = ModelConfig() if "released" in name else synthesizer.config
        assert read_dump(path, config).keys() == load_file(path).keys()


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
@pytest.mark.parametrize("name", FILES)
def test_truncated(synthesizer, tmp_path, name, share):
    content = (DUMPS / name).read_bytes()
    (tmp_path / name).write_bytes(content[: int(share * len(content))])
    assert f"{name} is truncated or no dump" in failure(synthesizer, tmp_path)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".safetensors")])
def test_a_missing_tensor_is_named(synthesizer, tmp_path, name):
    path = DUMPS / name
    for key in load_file(path):
        changed(tmp_path, name, lambda tensors, key=key: tensors.pop(key))
        dump = read_dump(tmp_path / name, ModelConfig() if "released" in name else synthesizer.config)
        with pytest.raises(CosyError, match=f"{name} lacks '{key}': capture or copy it again"):
            dump[key]


CHANGES = {
    "another rank": lambda values: values[None],
    "another type": lambda values: values.astype(np.int8 if values.dtype.kind == "f" else np.float32),
    "empty": lambda values: values[:0],
}


@pytest.mark.parametrize("case", CHANGES)
@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".safetensors")])
def test_another_shape_or_type_is_named(synthesizer, tmp_path, name, case):
    described = next(kinds for glob, kinds in TENSORS.items() if fnmatch(name, glob))
    config = ModelConfig() if "released" in name else synthesizer.config
    for key in load_file(DUMPS / name).keys() & described.keys():  # the others nobody reads
        if case == "empty" and described[key].split()[1] == "*":
            continue
        changed(tmp_path, name, lambda tensors, key=key: tensors.update({key: CHANGES[case](tensors[key])}))
        with pytest.raises(CosyError, match=rf"{name} holds '[\w]+'"):
            read_dump(tmp_path / name, config)


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("llm.safetensors", "tts_text", 960, "ids in 'tts_text' that this model does not know"),
        ("llm.safetensors", "sampled_tokens", -1, "ids in 'sampled_tokens' that this model does not know"),
        ("flow_offline.safetensors", "token", 6561, "ids in 'token' that this model does not know"),
        ("flow_offline.safetensors", "prompt_feat", np.nan, "NaN or infinite values in 'prompt_feat'"),
        ("training_vocoder.safetensors", "d_gradients", np.nan, "NaN or infinite values in 'd_gradients'"),
        ("hift_offline.safetensors", "mel", np.inf, "NaN or infinite values in 'mel'"),
        ("llm.safetensors", "fallback", True, "'fallback' and 'noise_full' that do not fit each other"),
    ],
)
def test_values_that_no_run_can_have(synthesizer, tmp_path, name, key, value, message):
    def change(tensors):
        tensors[key] = tensors[key].copy()
        tensors[key][...] = value

    assert message in failure(synthesizer, changed(tmp_path, name, change))


@pytest.mark.parametrize("length", [0, 9])
def test_lengths_beyond_a_batch(synthesizer, tmp_path, length):
    batch = {"batch_mel": np.zeros((2, 128, 8), np.float32), "batch_mel_len": np.asarray([8, length])}
    changed(tmp_path, "speech_tokenizer.safetensors", lambda tensors: tensors.update(batch))
    assert "'batch_mel' and 'batch_mel_len' that do not fit" in failure(synthesizer, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer.json", "{", "truncated or no dump"),
        ("tokenizer.json", "[" * 100000, "truncated or no dump"),
        ("tokenizer.json", "[]", "the file is no object"),
        ("tokenizer.json", "{}", "the file lacks 'cases'"),
        ("tokenizer.json", '{"cases": [], "endofprompt_id": 3}', "it holds no case"),
        ("tokenizer.json", '{"cases": [{"text": "a"}], "endofprompt_id": 3}', "an entry of 'cases' lacks 'ids'"),
        ("tokenizer.json", '{"cases": [{"text": 3, "ids": []}], "endofprompt_id": 3}', "'text' is no text"),
        ("tokenizer.json", '{"cases": [{"text": "\\ud800", "ids": []}], "endofprompt_id": 3}', "'text' is no text"),
        ("text_frontend.json", '{"cases": {}}', "'cases' is no list"),
        ("text_frontend.json", '{"cases": [{"text": "a", "split": [1], "joined": ""}]}', "an entry of 'split' is no"),
        ("llm_bistream.json", '{"cases": []}', "'cases' is no object"),
        ("llm_bistream.json", '{"cases": {"a": {}}}', "'a' lacks"),
        ("llm_bistream.json", '{"cases": {"\\ud800": {}}}', "a name in 'cases' is no text"),
        ("llm_bistream.json", '{"cases": {"' + "a" * 9000 + '": {}}}', f"'{'a' * 60}' lacks"),
    ],
)
def test_bad_json(synthesizer, tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    assert message in failure(synthesizer, tmp_path)


def test_a_type_that_numpy_has_not(synthesizer, tmp_path):
    header = {"mel": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}
    (tmp_path / "hift_offline.safetensors").write_bytes(framed(header, bytes(2)))
    assert "hift_offline.safetensors is truncated or no dump" in failure(synthesizer, tmp_path)


def test_stray_files(synthesizer, tmp_path):
    """A folder or a note under a dump's name is one sentence; what no check reads does not matter."""
    (tmp_path / "flow_x.safetensors").mkdir()
    assert "Cannot read" in failure(synthesizer, tmp_path) or "no dump" in failure(synthesizer, tmp_path)
    (tmp_path / "flow_x.safetensors").rmdir()
    (tmp_path / "llm_7.safetensors").write_text("my notes")
    assert "llm_7.safetensors is truncated or no dump" in failure(synthesizer, tmp_path)
    (tmp_path / "notes.safetensors").write_text("my notes")
    (tmp_path / "llm_7.safetensors").unlink()
    shutil.copy(DUMPS / "tokenizer.json", tmp_path)
    assert len(list(run_parity(synthesizer, tmp_path))) == 1 and read_provenance(tmp_path) == {}


@pytest.mark.parametrize("said", [{"min_len": "x"}, {"max_len": "9" * 50}, {"min_len": "-1"}])
def test_metadata_that_are_no_numbers(tmp_path, said):
    changed(tmp_path, "llm.safetensors", lambda tensors: None, **said)
    with pytest.raises(CosyError, match="which is no number of steps"):
        recorded_bounds(tmp_path / "llm.safetensors")


@pytest.mark.parametrize("name", ["flow_offline.safetensors", "hift_offline.safetensors"])
def test_metadata_that_do_not_say_how_it_was_run(synthesizer, tmp_path, name):
    save_file(load_file(DUMPS / name), tmp_path / name)
    assert "does not say of its run whether" in failure(synthesizer, tmp_path)


@pytest.mark.parametrize("named", ["../llm.safetensors", "", "llm.txt", "/etc/x.safetensors"])
def test_a_trace_that_does_not_name_its_dump(tmp_path, named):
    changed(tmp_path, "trace_llm.safetensors", lambda tensors: None, TRACES, inputs=named)
    with pytest.raises(CosyError, match="does not say which dump it was traced from"):
        inputs_of(tmp_path / "trace_llm.safetensors")


def test_traces_of_other_shapes(synthesizer, tmp_path):
    shutil.copy(TRACES / "llm.safetensors", tmp_path)
    for change in (
        lambda tensors: tensors.update({"layers.0": tensors["layers.0"][0]}),
        lambda tensors: tensors.update({"layers.0.positions": tensors["layers.0.positions"][:3]}),
        lambda tensors: tensors.update({"layers.0_f64": tensors["layers.0_f64"][:, :3]}),
        lambda tensors: tensors.pop("layers.0"),
    ):
        changed(tmp_path, "trace_llm.safetensors", change, TRACES)
        with pytest.raises(CosyError, match=r"trace_llm\.safetensors (holds|lacks) 'layers.0"):
            diagnose(synthesizer, tmp_path)


@pytest.mark.parametrize("command", ["parity", "tokens"])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(path.read_bytes()[:1000]),
        lambda path: path.write_text("notes"),
        lambda path: save_file({"a": np.zeros(3)}, path),
    ],
)
def test_the_commands_exit_with_2(tmp_path, capsys, command, spoil):
    shutil.copy(DUMPS / "llm.safetensors", tmp_path)
    spoil(tmp_path / "llm.safetensors")
    assert main([command, "--weights", str(TINY), "--dumps", str(tmp_path), "--compile-cache", "off"]) == 2
    (error,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("cosy-jax")]
    assert "llm.safetensors" in error


def test_json_of_the_repository_is_read_as_it_is():
    path = DUMPS / "tokenizer.json"
    assert read_cases(path) == json.loads(path.read_text(encoding="utf-8"))


def test_speech_and_mel_of_other_lengths(synthesizer, tmp_path):
    def change(tensors):
        for name in ("speech", "d_noise", "g_noise"):
            tensors[name] = tensors[name][:, :-1]

    folder = changed(tmp_path, "training_vocoder.safetensors", change)
    assert "'speech' and 'mel' that do not fit each other" in failure(synthesizer, folder)


def test_discriminators_of_unknown_width(synthesizer, tmp_path):
    folder = changed(tmp_path, "training_vocoder.safetensors", lambda tensors: None, period_channels="2 x")
    assert "does not say how wide its discriminators are" in failure(synthesizer, folder)
