"""The tokenizer of a release: whole, and the text embedding's own."""

import json
import shutil

import pytest

from cosy_jax.conversions.convert import convert
from cosy_jax.conversions.tokenizer_files import check_tokenizer, write_byte_tokenizer
from cosy_jax.errors import CosyError
from tests.conftest import TINY
from tests.conversions.hostile import refuse
from tests.conversions.release import TOKENIZER_SIZE, write_release

ROWS = 960  # of the tiny model, whose tokenizer has 959 ids


@pytest.fixture
def folder(tmp_path):
    """A copy of the tiny model's tokenizer, which has merges."""
    return shutil.copytree(TINY / "tokenizer", tmp_path / "tokenizer")


def read(folder):
    check_tokenizer(folder, ROWS)


def test_sound_files_pass(folder, tmp_path):
    check_tokenizer(folder, ROWS)
    check_tokenizer(folder, 959)
    write_byte_tokenizer(tmp_path / "bytes")
    check_tokenizer(tmp_path / "bytes", TOKENIZER_SIZE)
    check_tokenizer(tmp_path / "bytes", 151936)


@pytest.mark.parametrize("keep", [0.0, 0.5, 0.99])
def test_emptied_and_halved_merges_are_refused(folder, keep):
    content = (folder / "merges.txt").read_bytes()
    (folder / "merges.txt").write_bytes(content[: int(keep * len(content))])
    with pytest.raises(CosyError, match=r"merges\.txt makes \d+ of the 422 entries .* truncated or another model's"):
        read(folder)


@pytest.mark.parametrize("rows", [1, 958, 151936])
def test_a_tokenizer_of_another_model_is_refused(folder, rows):
    with pytest.raises(CosyError, match=f"a tokenizer of 959 ids, but the text embedding has {rows} rows"):
        check_tokenizer(folder, rows)


def test_files_of_two_tokenizers_are_refused(folder, tmp_path):
    write_byte_tokenizer(tmp_path / "other")
    shutil.copyfile(tmp_path / "other" / "tokenizer_config.json", folder / "tokenizer_config.json")
    with pytest.raises(CosyError, match=r"gives <\|endoftext\|> the id 256"):
        read(folder)


HOSTILE = {
    "deep": ("vocab.json", b"[" * 100_000),
    "a list": ("vocab.json", b"[]"),
    "no ids": ("vocab.json", b'{"a": "b"}'),
    "an id of another world": ("vocab.json", b'{"a": 1000000000000}'),
    "an id twice": ("vocab.json", b'{"a": 0, "b": 0}'),
    "no UTF-8": ("merges.txt", b"\xff\xfe"),
    "no pair": ("merges.txt", b"a b c d\n"),
    "a deep declaration": ("tokenizer_config.json", b"[" * 100_000),
    "tokens that are numbers": ("tokenizer_config.json", b'{"added_tokens_decoder": {"678": {"content": 5}}}'),
    "many": ("vocab.json", b" " * (9 << 20)),
}


@pytest.mark.parametrize("name, content", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_one_short_sentence(folder, name, content):
    if name == "merges.txt" and b"a b" in content:
        content += (folder / name).read_bytes()
    (folder / name).write_bytes(content)

    def check(path):
        try:
            read(path)
        except CosyError as error:
            raise CosyError(str(error)[str(error).index(str(path)) :]) from error

    refuse(check, folder)


def test_a_conversion_refuses_them_and_leaves_nothing(tmp_path):
    write_release(tmp_path / "model")
    shutil.copytree(TINY / "tokenizer", tmp_path / "model" / "CosyVoice-BlankEN", dirs_exist_ok=True)
    with pytest.raises(CosyError, match="a tokenizer of 959 ids, but the text embedding has 540 rows"):
        convert(tmp_path / "model", tmp_path / "out")
    vocabulary = tmp_path / "model" / "CosyVoice-BlankEN" / "vocab.json"
    vocabulary.write_text(json.dumps({"a": 0, "ab": 1}))
    with pytest.raises(CosyError, match="truncated or another model's"):
        convert(tmp_path / "model", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
