import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.checkpoint.reader import (
    FORMAT_VERSION,
    STAGES,
    describe,
    encoders_digest,
    flat_shapes,
    load_config,
    load_params,
    select_llm,
)
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.conversions.convert import convert
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import BFLOAT16, FLOAT32
from tests.conversions.release import CONFIG, largest_error, write_release


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    root = tmp_path_factory.mktemp("checkpoint")
    params = write_release(root / "model")
    convert(root / "model", root / "out")
    return root / "out", params


@pytest.fixture
def folder(original, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(original[0], tmp_path / "out")


def flatten(tree):
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(keys, simple=True, separator="/"): np.asarray(leaf) for keys, leaf in leaves}


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_loads_as_its_modules_expect(original, stage):
    folder, params = original
    found = load_params(folder, stage, FLOAT32, expected_shapes(stage, CONFIG))
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in jax.tree_util.tree_leaves(found))
    assert largest_error(flatten(found), params[stage]) <= 1e-6


def test_bfloat16_is_for_matrices_of_the_large_networks(original):
    flow = flatten(load_params(original[0], "flow", BFLOAT16))
    assert flow["dit/blocks_0/attention/query/kernel"].dtype == jnp.bfloat16
    assert flow["dit/blocks_0/attention/query/bias"].dtype == np.float32
    for stage in ("vocoder", "speaker_encoder"):
        kinds = {values.dtype for values in flatten(load_params(original[0], stage, BFLOAT16)).values()}
        assert kinds == {np.dtype(np.float32)}


def test_both_sides_of_a_difference_are_listed(original):
    expected = expected_shapes("flow", CONFIG)
    expected["surplus"] = {"kernel": jax.ShapeDtypeStruct((2, 3), jnp.float32)}
    expected["token_embedding"] = {"embedding": jax.ShapeDtypeStruct((8, 6), jnp.float32)}
    del expected["speaker_projection"]["bias"]
    with pytest.raises(CosyError) as caught:
        load_params(original[0], "flow", expected=expected)
    message = str(caught.value)
    assert "expected, not in the file: surplus/kernel (2, 3)" in message
    assert "in the file, not expected: speaker_projection/bias (6,)" in message
    assert "token_embedding/embedding is (9, 6), should be (8, 6)" in message


def test_describe_counts_what_is_there(folder):
    (folder / "llm.rl.safetensors").unlink()
    found = describe(folder)
    assert found["format_version"] == FORMAT_VERSION and found["dtype"] == "float32"
    assert found["llm_variants"] == ["llm"] and "llm.rl" not in found["stages"]
    shapes = flat_shapes(expected_shapes("vocoder", CONFIG))
    assert found["stages"]["vocoder"]["parameters"] == sum(int(np.prod(shape)) for shape in shapes.values())
    assert found["stages"]["vocoder"]["bytes"] == (folder / "vocoder.safetensors").stat().st_size


def test_folder_of_the_first_format_is_read(folder):
    path = folder / "config.json"
    manifest = json.loads(path.read_text())
    digest = encoders_digest(folder)
    del manifest["files"]
    path.write_text(json.dumps({**manifest, "format_version": 1}))
    (folder / "vocoder.safetensors").rename(folder / "hift.safetensors")
    assert load_config(folder) == CONFIG
    load_params(folder, "vocoder", FLOAT32, expected_shapes("vocoder", CONFIG))
    assert encoders_digest(folder) == digest  # read from the files, where config.json has none


def test_digest_tells_encoders_apart(folder):
    path = folder / "config.json"
    manifest, digest = json.loads(path.read_text()), encoders_digest(folder)
    manifest["files"]["speaker_encoder.safetensors"]["sha256"] = "0" * 64
    path.write_text(json.dumps(manifest))
    assert encoders_digest(folder) != digest


def test_language_model_choice(folder):
    assert (select_llm(folder), select_llm(folder, "rl"), select_llm(folder, "base")) == ("llm.rl", "llm.rl", "llm")
    with pytest.raises(CosyError, match="choose auto, rl or base"):
        select_llm(folder, "best")
    (folder / "llm.rl.safetensors").unlink()
    assert select_llm(folder) == "llm"
    with pytest.raises(CosyError, match="no 'rl' language model: choose base"):
        select_llm(folder, "rl")
    (folder / "llm.safetensors").unlink()
    with pytest.raises(CosyError, match="holds no language model"):
        select_llm(folder)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated_weights_are_refused(folder, share):
    content = (folder / "flow.safetensors").read_bytes()
    (folder / "flow.safetensors").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CosyError, match="truncated"):
        load_params(folder, "flow")


def test_missing_weights_are_named(folder):
    (folder / "flow.safetensors").unlink()
    with pytest.raises(CosyError, match=r"flow\.safetensors is missing"):
        load_params(folder, "flow")


def test_other_folders_are_refused(folder, tmp_path):
    path = folder / "config.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "format_version": FORMAT_VERSION + 1}))
    with pytest.raises(CosyError, match=f"format version {FORMAT_VERSION + 1}"):
        load_config(folder)
    path.write_text(json.dumps({**manifest, "model": {**manifest["model"], "novelty": 1}}))
    with pytest.raises(CosyError, match="novelty"):
        load_config(folder)
    for text in ("{", "[]", '{"model_type": "qwen2"}'):
        path.write_text(text)
        with pytest.raises(CosyError, match="not the config.json of a converted model"):
            load_config(folder)
    with pytest.raises(CosyError, match=r"no config\.json"):
        load_config(tmp_path)
