import itertools
import json
import shutil
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.errors import CosyError
from cosy_jax.text.special_tokens import EXTRA_TOKENS
from cosy_jax.text.tokenizer import TextTokenizer
from tests.reference import REPOSITORY, reference_dir, requires_reference

DATA = REPOSITORY / "tests" / "data" / "tiny" / "tokenizer"
DUMP = REPOSITORY / "tests" / "data" / "dumps" / "tokenizer.json"
RECORDED = json.loads(DUMP.read_text(encoding="utf-8"))  # from the reference's tokenizer class
TOKENIZER = TextTokenizer.load(DATA)

pieces = st.one_of(st.text(max_size=8), st.sampled_from([*EXTRA_TOKENS, "<|endoftext|>", " ", "\n"]))
texts = st.lists(pieces, max_size=6).map("".join)


@pytest.mark.parametrize("case", RECORDED["cases"], ids=lambda case: case["text"][:20])
def test_ids_equal_the_references(case):
    assert TOKENIZER.encode(case["text"]) == case["ids"]


def test_sizes_equal_the_references():
    assert TOKENIZER.vocab_size == RECORDED["vocab_size"]
    assert TOKENIZER.end_of_prompt_id == RECORDED["endofprompt_id"]


@requires_reference
def test_recorded_copies_are_current():
    folder = reference_dir()
    assert folder is not None
    assert json.loads((folder / "dumps" / "tokenizer.json").read_text(encoding="utf-8")) == RECORDED
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        assert (folder / "model" / "CosyVoice-BlankEN" / name).read_bytes() == (DATA / name).read_bytes()


@pytest.mark.parametrize(
    ("token", "index"), [("<|endoftext|>", 678), ("<|im_end|>", 680), ("[AA]", 699), ("[j]", 832), ("[ǜ]", 958)]
)
def test_special_tokens_are_one_id(token, index):
    assert TOKENIZER.encode(token) == [index]


def test_extra_ids_follow_the_vocabulary_in_order():
    ids = [TOKENIZER.encode(token) for token in EXTRA_TOKENS]
    assert ids == [[679], [680], *([index] for index in range(681, 959))]


def test_decomposed_accents_are_composed_but_special_tokens_are_matched_as_written():
    assert TOKENIZER.encode("cafe\u0301") == TOKENIZER.encode("café")
    assert TOKENIZER.encode("[i\u030c]") != TOKENIZER.encode("[ǐ]")


def test_decode_leaves_special_tokens_out():
    text = "Hello, 世界! naïve café"
    assert TOKENIZER.decode(TOKENIZER.encode(f"[breath]{text}<|endofprompt|>")) == text


def test_decode_of_half_a_character():
    assert TOKENIZER.decode(TOKENIZER.encode("世")[:1]) == "\ufffd"


@given(texts, texts)
def test_a_special_token_separates(left, right):
    joined = TOKENIZER.encode(f"{left}<|endofprompt|>{right}")
    assert joined == [*TOKENIZER.encode(left), TOKENIZER.end_of_prompt_id, *TOKENIZER.encode(right)]


@given(st.text(st.characters(exclude_categories=("Cs", "Cn"), exclude_characters="[<")))  # no special tokens
def test_decode_gives_the_composed_text_back(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == unicodedata.normalize("NFC", text)


@pytest.fixture
def folder(tmp_path):
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        shutil.copy(DATA / name, tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer_config.json"])
def test_missing_file(folder, name):
    (folder / name).unlink()
    with pytest.raises(CosyError, match=f"{name} is missing"):
        TextTokenizer.load(folder)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("vocab.json", b'{"a": '),
        ("vocab.json", b"\xff\xfe"),
        ("merges.txt", b"#version: 0.2\nno such pair here\n"),
        ("merges.txt", b"#version: 0.2\n\xff \xfe\n"),
        ("merges.txt", b""),
        ("merges.txt", b"#version: 0.2\n"),
        ("tokenizer_config.json", b"{"),
        ("tokenizer_config.json", b"[" * 100000),
        ("tokenizer_config.json", b"[]"),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"x": {"content": "y"}}}'),
        ("tokenizer_config.json", b'{"added_tokens_decoder": {"678": {}}}'),
    ],
)
def test_damaged_file(folder, name, content):
    (folder / name).write_bytes(content)
    with pytest.raises(CosyError, match=name):
        TextTokenizer.load(folder)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_merges(folder, share):
    """Any beginning of merges.txt is valid by itself, and every text then has other ids."""
    content = (DATA / "merges.txt").read_bytes()
    (folder / "merges.txt").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CosyError, match=r"merges\.txt"):
        TextTokenizer.load(folder)


def test_special_tokens_of_another_vocabulary(folder):
    path = folder / "tokenizer_config.json"
    path.write_text(path.read_text().replace('"678"', '"151643"'))
    with pytest.raises(CosyError, match="same model folder"):
        TextTokenizer.load(folder)


@pytest.mark.slow
def test_released_vocabulary_size_gives_the_published_ids(folder):
    """Only the count of entries matters for the special ids: Qwen2's vocab.json has 151643."""
    vocab = json.loads((folder / "vocab.json").read_text(encoding="utf-8"))
    symbols = [entry for entry in vocab if len(entry) == 1]
    with (folder / "merges.txt").open("a", encoding="utf-8") as merges:
        for first, second, third in itertools.product(symbols, repeat=3):
            for left, right in ((first, second), (first + second, third)):
                if left + right not in vocab and len(vocab) < 151643:
                    vocab[left + right] = len(vocab)
                    merges.write(f"{left} {right}\n")
            if len(vocab) == 151643:
                break
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    path = folder / "tokenizer_config.json"
    declared = path.read_text()
    for index in range(3):
        declared = declared.replace(f'"{678 + index}"', f'"{151643 + index}"')
    path.write_text(declared)
    tokenizer = TextTokenizer.load(folder)
    assert (tokenizer.end_of_prompt_id, tokenizer.vocab_size) == (151646, 151924)
