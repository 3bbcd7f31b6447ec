"""The folder that training begins with."""

import pytest

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.text.check import SYSTEM_PREFIX
from recipes.embedded_voice.folder import CONFIG, write_start


@pytest.mark.slow
def test_folder_is_small_and_reads_letters(tmp_path):
    sizes = write_start(tmp_path / "start", seed=0)
    assert sum(sizes.values()) < 30e6
    assert load_config(tmp_path / "start") == CONFIG
    tokenizer = Synthesizer(tmp_path / "start").tokenizer
    text = "What a lovely day, isn't it? Déjà vu!"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) == len(text.encode())
    assert tokenizer.largest_id == CONFIG.llm.text_vocab_size - 1
    first, last = tokenizer.encode(SYSTEM_PREFIX)
    assert last == tokenizer.end_of_prompt_id and first < CONFIG.llm.text_vocab_size
