"""config.json says what a model can be built from, or one sentence says what is wrong with it."""

import dataclasses
import json
import time

import pytest

from cosy_jax.checkpoint.bounds import BOUNDS
from cosy_jax.checkpoint.reader import load_config
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from tests.conftest import TINY

CONTENT = json.loads((TINY / "config.json").read_text(encoding="utf-8"))


def settings(kind=ModelConfig, prefix=""):
    """The names of all settings, those inside a section behind its name."""
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(field.type):
            yield from settings(field.type, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name


def written(folder, name, value):
    """A folder whose config.json has the value in that place."""
    content = json.loads(json.dumps(CONTENT))
    sections = ["model", *name.split(".")]
    last = sections.pop()
    place = content
    for section in sections:
        place = place[section]
    place[last] = value
    (folder / "config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def test_every_setting_has_bounds_and_the_released_sizes_are_within():
    assert sorted(BOUNDS) == sorted(settings())


@pytest.mark.parametrize("name", list(settings()))
def test_no_setting_takes_anything_else(tmp_path, name):
    least, most = BOUNDS[name]
    for value in ("8", True, float("nan"), float("inf"), -1, 1e300, 10**4000, [], {}, [[[1]]], least - 1, most + 1):
        with pytest.raises(CosyError, match=rf"config\.json: the setting {name} is ") as caught:
            load_config(written(tmp_path, name, value))
        assert len(str(caught.value)) < 300 + len(str(tmp_path))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("llm.num_layers", 10**8, "llm.num_layers is 100000000, not a whole number from 1 to 128"),
        ("llm.num_heads", 0, "llm.num_heads is 0, not a whole number from 1 to"),
        ("flow.num_steps", 0, "flow.num_steps is 0, not a whole number"),
        ("llm.num_layers", 2.0, "llm.num_layers is 2.0, not a whole number"),
        ("flow.guidance_rate", float("nan"), "flow.guidance_rate is nan, not a number from 0 to 100"),
        ("speech_tokenizer.levels", 2, "speech_tokenizer.levels is 2, not 3"),
        ("vocoder.upsample_rates", [8, 5, 0], "vocoder.upsample_rates is 0, not a whole number from 1"),
        ("vocoder.upsample_rates", [8] * 1000, "vocoder.upsample_rates is a list of 1000, not a list of 1 to 16"),
        ("llm.num_heads", 3, "llm.num_heads does not divide llm.hidden_size"),
        ("llm.num_kv_heads", 3, "llm.num_kv_heads does not divide llm.num_heads"),
        ("flow.conv_groups", 5, "flow.conv_groups does not divide flow.dim"),
        ("flow.mel_bands", 81, "vocoder.mel_bands is not flow.mel_bands"),
        ("prompt_mel.mel_bands", 81, "prompt_mel.mel_bands is not flow.mel_bands"),
        ("vocoder.upsample_rates", [8, 5, 4], "vocoder.upsample_rates makes frames of another length"),
        ("vocoder.upsample_kernels", [16, 11], "vocoder.upsample_kernels is not as long as"),
        ("prompt_mel.fmin", 13000.0, "prompt_mel.fmax is not above prompt_mel.fmin"),
        ("llm", [], "llm is a list of 0, not a set of settings"),
        ("llm.novelty", 1, "a setting 'llm.novelty', which this program does not know"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, name, value, message):
    start = time.process_time()
    with pytest.raises(CosyError, match=message):
        load_config(written(tmp_path, name, value))
    assert time.process_time() - start < 2


def test_whole_numbers_will_do_where_a_number_is_wanted(tmp_path):
    theta = load_config(written(tmp_path, "llm.rope_theta", 1000000)).llm.rope_theta
    assert theta == 1e6 and isinstance(theta, float)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100000,
        '{"format_version": 2, "model": ' + '{"llm":' * 100000,
        '{"format_version": true, "model": {}}',
        '{"format_version": [], "model": {}}',
        '{"format_version": 2}',
        '{"format_version": 2, "model": {}, "note": "' + "x" * 2**20 + '"}',
        "\ufffe",
        "null",
    ],
)
def test_foreign_files(tmp_path, text):
    (tmp_path / "config.json").write_bytes(text.encode("utf-16-le") if text == "\ufffe" else text.encode())
    with pytest.raises(CosyError, match="not the config.json of a converted model"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("name", "record"),
    [
        ("llm.safetensors", 3),
        ("llm.safetensors", {"sha256": 3, "bytes": 3}),
        ("llm.safetensors", {"sha256": "0" * 64, "bytes": "3"}),
        ("llm.safetensors", {"sha256": "0" * 64, "bytes": -3}),
        ("llm.safetensors", {"sha256": "abc", "bytes": 3}),
        ("../llm.safetensors", {"sha256": "0" * 64, "bytes": 3}),
        ("/etc/passwd", {"sha256": "0" * 64, "bytes": 3}),
    ],
)
def test_unreadable_records_of_files(tmp_path, name, record):
    content = json.loads(json.dumps(CONTENT)) | {"files": {name: record}}
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(CosyError, match="no readable digest and size of"):
        load_config(tmp_path)
