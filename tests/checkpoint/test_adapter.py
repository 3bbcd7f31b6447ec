"""Adapters in the layout of PEFT: ours as others write them, and what is no adapter of these weights."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cosy_jax import Synthesizer
from cosy_jax.checkpoint.adapter import Adapter, read_adapter, write_adapter
from cosy_jax.checkpoint.reader import load_config
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import INT8
from tests.conftest import TINY

CONFIG = load_config(TINY)
QUERY = "backbone/layers_0/attention/query/kernel"
MODULE = "model.layers.0.self_attn.q_proj"
RANDOM = np.random.default_rng(0)
PAIR = (RANDOM.standard_normal((3, 64), np.float32), RANDOM.standard_normal((64, 3), np.float32))


def written(folder, names=None, **settings):
    """An adapter of one layer as PEFT writes it."""
    names = names or {"A": f"base_model.model.{MODULE}.lora_A.weight", "B": f"base_model.model.{MODULE}.lora_B.weight"}
    folder.mkdir(exist_ok=True)
    save_file({names["A"]: PAIR[0], names["B"]: PAIR[1]}, folder / "adapter_model.safetensors")
    content = {"peft_type": "LORA", "r": 3, "lora_alpha": 6, "target_modules": ["q_proj"]} | settings
    (folder / "adapter_config.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize(("settings", "scale"), [({}, 2), ({"use_rslora": True}, 6 / 3**0.5)])
def test_what_peft_writes_is_read(tmp_path, settings, scale):
    found = read_adapter(written(tmp_path, **settings), CONFIG)
    assert found.stage == "llm" and found.pairs.keys() == {QUERY}
    np.testing.assert_allclose(found.change(QUERY), scale * PAIR[1] @ PAIR[0], rtol=1e-5, atol=1e-5)
    assert found.change("backbone/norm/scale") is None


def test_deeper_wrappings_and_adapter_names_are_known(tmp_path):
    names = {half: f"base_model.model.llm.{MODULE}.lora_{half}.default.weight" for half in "AB"}
    assert read_adapter(written(tmp_path, names), CONFIG).pairs.keys() == {QUERY}


def test_ours_is_written_as_peft_writes_it(tmp_path):
    write_adapter(tmp_path, Adapter("flow", 2.0, {"dit/blocks_1/attention/query/kernel": PAIR}), 3, CONFIG, "weights")
    tensors = load_file(tmp_path / "adapter_model.safetensors")
    prefix = "base_model.model.transformer_blocks.1.attn.to_q"
    assert tensors.keys() == {f"{prefix}.lora_A.weight", f"{prefix}.lora_B.weight"}
    content = json.loads((tmp_path / "adapter_config.json").read_text())
    assert (content["r"], content["lora_alpha"], content["target_modules"]) == (3, 6.0, ["to_q"])
    assert read_adapter(tmp_path, CONFIG).stage == "flow"


def test_it_is_applied_before_rounding(tmp_path):
    folder = written(tmp_path)
    before = Synthesizer(TINY, llm="base").params("llm")["backbone"]["layers_0"]["attention"]["query"]["kernel"]
    exact = before + 2 * PAIR[1] @ PAIR[0]
    after = Synthesizer(TINY, llm="base", adapter=folder).params("llm")["backbone"]["layers_0"]["attention"]["query"]
    np.testing.assert_allclose(after["kernel"], exact, rtol=1e-5, atol=1e-5)
    rounded = Synthesizer(TINY, llm="base", precision=INT8, adapter=folder).params("llm")
    query = rounded["backbone"]["layers_0"]["attention"]["query"]
    error = np.abs(np.asarray(query["kernel"], np.float32) * np.asarray(query["kernel_scale"])[:, None] - exact)
    assert error.max() <= 0.51 * np.asarray(query["kernel_scale"]).max()


@pytest.mark.parametrize(
    ("names", "settings", "words"),
    [
        (None, {"peft_type": "IA3"}, "is not of a LoRA adapter"),
        (None, {"use_dora": True}, "asks for use_dora"),
        (None, {"r": "three"}, "no rank"),
        (None, {"r": 4}, "in another rank"),
        ({"A": "a.lora_A.weight", "B": "a.lora_B.weight"}, {}, "neither language model nor flow"),
        ({"A": f"{MODULE}.lora_A.weight", "B": f"{MODULE}.lora_magnitude_vector"}, {}, "no part of a LoRA"),
        ({"A": "model.layers.0.mlp.down_proj.lora_A.weight", "B": "model.layers.0.mlp.down_proj.lora_B.weight"}, {},
         "of other sizes"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_one_sentence(tmp_path, names, settings, words):
    with pytest.raises(CosyError, match=words) as caught:
        read_adapter(written(tmp_path, names, **settings), CONFIG)
    assert "\n" not in str(caught.value)


def test_damaged_folders(tmp_path):
    with pytest.raises(CosyError, match="is no adapter"):
        read_adapter(tmp_path, CONFIG)
    folder = written(tmp_path)
    content = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(content[: len(content) // 2])
    with pytest.raises(CosyError, match="Cannot read"):
        read_adapter(folder, CONFIG)
