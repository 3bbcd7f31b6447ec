"""The text tokenizer's files: those of a release, checked against each other and the embedding, and one of bytes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers.pre_tokenizers import ByteLevel

from cosy_jax.errors import CosyError
from cosy_jax.text.tokenizer import TextTokenizer

from .source import brief, read_small

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")
_MAX_BYTES = 8 << 20  # the released vocab.json has 2.8 MB
# Rows of the text embedding without a token: 12 in the release, which rounds them up to a multiple of 128.
_MOST_SPARE = 1024


def check_tokenizer(folder: Path, rows: int) -> None:
    """CosyError unless the tokenizer files in the folder are whole, belong together, and fit an embedding of `rows`."""
    contents = {name: read_small(folder / name, _MAX_BYTES) for name in TOKENIZER_FILES}
    vocabulary = _vocabulary(folder / "vocab.json", contents["vocab.json"])
    _check_merges(folder / "merges.txt", contents["merges.txt"], vocabulary)
    try:
        size = TextTokenizer.load(folder).vocab_size
    except CosyError as error:
        raise CosyError(brief(error, 1000)) from error
    # The library and the JSON beside it can fail in many ways: each one means the same to the user.
    except Exception as error:
        raise CosyError(f"{folder} holds no readable tokenizer ({brief(error)}): download it again.") from error
    # Random weights have a vocabulary of bytes, whatever their size.
    spare = 0 if len(vocabulary) == len(ByteLevel.alphabet()) else rows - size
    if size > rows or spare > _MOST_SPARE:
        raise CosyError(
            f"{folder} holds a tokenizer of {size} ids, but the text embedding has {rows} rows: it is another model's, "
            "use the files of one CosyVoice 3 release together."
        )


def write_byte_tokenizer(folder: Path, whole: Sequence[str] = ()) -> None:
    """Writes the files of a tokenizer whose vocabulary is the 256 bytes and, behind them, the special tokens; the texts
    `whole` are among these, one id each."""
    folder.mkdir(parents=True, exist_ok=True)
    symbols = sorted(ByteLevel.alphabet())
    specials = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", *whole)
    added = {str(len(symbols) + i): {"content": token, "special": True} for i, token in enumerate(specials)}
    vocabulary = json.dumps({symbol: index for index, symbol in enumerate(symbols)}, ensure_ascii=False)
    (folder / "vocab.json").write_text(vocabulary, encoding="utf-8")
    (folder / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": added}), encoding="utf-8")


def _vocabulary(path: Path, content: bytes) -> set[str]:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CosyError(f"{path} is not readable as JSON: download it again.") from error
    if not isinstance(found, dict) or not all(type(index) is int for index in found.values()):
        raise CosyError(f"{path} is no vocabulary: download it again.")
    if sorted(found.values()) != list(range(len(found))):
        raise CosyError(f"{path} does not number its {len(found)} entries one by one: download it again.")
    return set(found)


def _check_merges(path: Path, content: bytes, vocabulary: set[str]) -> None:
    """CosyError where an entry that is longer than a byte has no merge: texts would fall apart into other ids."""
    try:
        lines = content.decode("utf-8").split("\n")
    except ValueError as error:
        raise CosyError(f"{path} is not UTF-8 text: download it again.") from error
    made = {line.rstrip("\r").replace(" ", "", 1) for line in lines if not line.startswith("#version")}
    longer = {entry for entry in vocabulary if len(entry) > 1}
    if not longer <= made:
        raise CosyError(
            f"{path} makes {len(longer & made)} of the {len(longer)} entries that vocab.json has beside single bytes: "
            "it is truncated or another model's, download both again."
        )
