"""Text to ids: Qwen2's byte-level BPE with the extra tokens of CosyVoice 3.

Source: cosyvoice/tokenizer/tokenizer.py (CosyVoice3Tokenizer), which wraps transformers' Qwen2 tokenizer; here the
same pipeline is put together from the `tokenizers` library.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from cosy_jax.errors import CosyError
from cosy_jax.text.special_tokens import END_OF_PROMPT, EXTRA_TOKENS

TOKENIZER_FILES = ("vocab.json", "merges.txt", "tokenizer_config.json")

# Qwen2's word pattern: contractions, letters with one leading sign, single digits, punctuation, line ends, spaces.
_WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


class TextTokenizer:
    """Maps text to ids of the language model's text vocabulary and back."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    @classmethod
    def load(cls, folder: str | Path) -> "TextTokenizer":
        """Reads vocab.json, merges.txt and tokenizer_config.json (the released CosyVoice-BlankEN folder holds them).

        Raises:
            CosyError: a file is missing, unreadable or damaged, or the three do not fit each other.
        """
        folder = Path(folder)
        tokenizer = Tokenizer(_load_bpe(folder))
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.pre_tokenizer = word_bytes()
        tokenizer.decoder = decoders.ByteLevel()
        _add_declared_tokens(tokenizer, folder / "tokenizer_config.json")
        tokenizer.add_special_tokens(_special(EXTRA_TOKENS))
        return cls(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Ids of the text; nothing is added at the start or end, and empty text gives an empty list."""
        return self._tokenizer.encode(text, add_special_tokens=False).ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, special tokens left out, as in the reference; unfinished UTF-8 becomes U+FFFD."""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True)

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included (151924 in the released vocabulary)."""
        return self._tokenizer.get_vocab_size(with_added_tokens=True)

    @property
    def largest_id(self) -> int:
        """The largest id that a text can have."""
        return max(self._tokenizer.get_vocab(with_added_tokens=True).values())

    @property
    def end_of_prompt_id(self) -> int:
        """Id of `<|endofprompt|>` (151646 in the released vocabulary)."""
        (index,) = self.encode(END_OF_PROMPT)
        return index


def word_bytes() -> Any:
    """The pre-tokenizer: words, which no entry of the vocabulary reaches beyond, as bytes."""
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([words, to_bytes])


def _load_bpe(folder: Path) -> models.BPE:
    vocab, merges = (_existing(folder / name) for name in ("vocab.json", "merges.txt"))
    try:
        bpe = models.BPE.from_file(str(vocab), str(merges))
    except Exception as error:  # the library raises plain Exception, whatever is wrong
        raise CosyError(
            f"The tokenizer files vocab.json and merges.txt in {folder} cannot be read ({error}): copy them again "
            "from the model's CosyVoice-BlankEN folder."
        ) from error
    _check_merges(bpe, merges)
    return bpe


def _check_merges(bpe: models.BPE, path: Path) -> None:
    """CosyError where merges are missing: each entry of a byte-level vocabulary but the bytes themselves is made by
    one, and without it a text falls apart into other ids, which are no less valid."""
    made = sum(len(entry) > 1 for entry in Tokenizer(bpe).get_vocab())
    with path.open("rb") as file:
        merges = sum(1 for line in file if line.strip() and not line.startswith(b"#version"))
    if merges < made:
        raise CosyError(
            f"{path} has {merges} of the {made} merges that vocab.json needs: it is truncated, copy it again from the "
            "model's CosyVoice-BlankEN folder."
        )


def _add_declared_tokens(tokenizer: Tokenizer, path: Path) -> None:
    """Adds the special tokens that tokenizer_config.json declares, in the order of their ids."""
    declared = _declared_tokens(path)
    tokenizer.add_special_tokens(_special(declared.values()))
    for index, content in declared.items():
        if tokenizer.token_to_id(content) != index:
            raise CosyError(
                f"{path} gives {content} the id {index}, but after this vocab.json it is "
                f"{tokenizer.token_to_id(content)}: take both files from the same model folder."
            )


def _declared_tokens(path: Path) -> dict[int, str]:
    try:
        config: dict[str, Any] = json.loads(_existing(path).read_text(encoding="utf-8"))
        entries = config["added_tokens_decoder"]
        return {index: entries[str(index)]["content"] for index in sorted(map(int, entries))}
    except OSError as error:
        raise CosyError(f"Cannot read {path}: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CosyError(
            f"{path} has no readable added_tokens_decoder ({error}): copy the file again from the model folder."
        ) from error


def _special(tokens: Iterable[str]) -> list[AddedToken]:
    # Not normalised: Unicode composition must neither create nor destroy a special token.
    return [AddedToken(token, normalized=False, special=True) for token in tokens]


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise CosyError(f"Tokenizer file {path} is missing: copy it from the model's CosyVoice-BlankEN folder.")
    return path
