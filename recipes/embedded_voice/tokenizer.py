"""A small byte-level BPE tokenizer of the texts, in the files that a converted folder holds.

python -m recipes.embedded_voice.tokenizer --texts build/embedded_voice/texts.txt --out build/embedded_voice/tokenizer
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Tokenizer, models, trainers
from tokenizers.pre_tokenizers import ByteLevel

from cosy_jax.conversions.tokenizer_files import write_tokenizer
from cosy_jax.errors import CosyError
from cosy_jax.text.check import SYSTEM_PREFIX
from cosy_jax.text.tokenizer import TextTokenizer, word_bytes

from .common import run

ENTRIES = 999  # the 256 bytes among them; with the 281 special tokens they make 1280 ids


def train_tokenizer(texts: Sequence[str], folder: Path) -> TextTokenizer:
    """The tokenizer of the texts and the system prompt, written into the folder."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = word_bytes()
    trainer = trainers.BpeTrainer(
        vocab_size=ENTRIES, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False
    )
    tokenizer.train_from_iterator([*texts, SYSTEM_PREFIX.split("<|")[0]], trainer)
    model = json.loads(tokenizer.to_str())["model"]
    write_tokenizer(folder, model["vocab"], [(left, right) for left, right in model["merges"]])
    return TextTokenizer.load(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=Path, required=True, help="what `texts` wrote")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    args = parser.parse_args()
    if not args.texts.is_file():
        raise CosyError(f"There are no texts at {args.texts}: write them with recipes.embedded_voice.texts.")
    texts = args.texts.read_text(encoding="utf-8").splitlines()
    tokenizer = train_tokenizer(texts, args.out)
    ids = sum(len(tokenizer.encode(text)) for text in texts)
    words = sum(len(text.split()) for text in texts)
    print(f"{args.out}: {tokenizer.vocab_size} ids, {ids / words:.2f} a word")


if __name__ == "__main__":
    run(main)
