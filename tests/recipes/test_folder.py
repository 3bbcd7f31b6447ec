"""The tokenizer of the texts, and the folder that training begins with."""

from dataclasses import replace

import pytest

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.text.check import SYSTEM_PREFIX
from recipes.embedded_voice.folder import CONFIG, write_start
from recipes.embedded_voice.templates import Writer
from recipes.embedded_voice.tokenizer import train_tokenizer


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory):
    writer = Writer(0)
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([writer.sentence() for _ in range(1500)], folder)
    return folder


@pytest.mark.slow
def test_folder_is_small_and_speaks_the_texts_alphabet(tokenizer_folder, tmp_path):
    sizes = write_start(tmp_path / "start", tokenizer_folder, seed=0)
    assert sum(sizes.values()) < 30e6
    assert load_config(tmp_path / "start") == CONFIG
    tokenizer = Synthesizer(tmp_path / "start").tokenizer
    text = "What a lovely day, isn't it? Déjà vu!"
    assert tokenizer.decode(tokenizer.encode(text)) == text
    assert len(tokenizer.encode(text)) < 0.6 * len(text)
    assert tokenizer.largest_id == CONFIG.llm.text_vocab_size - 1
    assert tokenizer.encode(SYSTEM_PREFIX)[-1] == tokenizer.end_of_prompt_id


def test_a_larger_tokenizer_is_refused(tokenizer_folder, tmp_path, monkeypatch):
    smaller = replace(CONFIG, llm=replace(CONFIG.llm, text_vocab_size=1279))
    monkeypatch.setattr("recipes.embedded_voice.folder.CONFIG", smaller)
    with pytest.raises(CosyError, match="fewer entries"):
        write_start(tmp_path / "start", tokenizer_folder, seed=0)
    assert not list(tmp_path.iterdir())
