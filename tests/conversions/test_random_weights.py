"""`init` writes a folder that loads and speaks, the same for the same seed."""

import pytest

from cosy_jax.checkpoint.reader import describe, load_config
from cosy_jax.cli import main
from cosy_jax.config import ModelConfig
from cosy_jax.conversions.random_weights import RANDOM_STAGES, write_random
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.synthesizer import Synthesizer


@pytest.mark.slow
def test_same_seed_same_files(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        assert list(write_random(tmp_path / name, "tiny", seed)) == list(RANDOM_STAGES)
    a, b, c = ((tmp_path / name / "flow.safetensors").read_bytes() for name in "abc")
    assert a == b and a != c


@pytest.mark.slow
def test_folder_loads_strictly_and_has_a_byte_tokenizer(tmp_path):
    assert main(["init", "--size", "tiny", "--dtype", "bfloat16", str(tmp_path / "w")]) == 0
    synthesizer = Synthesizer(tmp_path / "w")
    for stage in RANDOM_STAGES:
        synthesizer.params(stage)
    ids = synthesizer.tokenizer.encode("aé<|endofprompt|>")
    assert len(ids) == 4 and max(ids) < synthesizer.config.llm.text_vocab_size
    assert describe(tmp_path / "w")["dtype"] == "bfloat16"
    assert load_config(tmp_path / "w").vocoder.sample_rate == ModelConfig().sample_rate


def test_other_files_are_not_overwritten(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(CosyError, match="no converted model"):
        list(write_random(tmp_path, "tiny", 0))
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
