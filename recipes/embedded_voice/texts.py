"""What the voices say: thousands of English sentences, written out as the front end writes them.

python -m recipes.embedded_voice.texts --out build/embedded_voice/texts.txt
"""

import argparse
import re
from collections.abc import Callable
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole
from cosy_jax.text.normalise import has_wetext, normalise

from .common import bar, run
from .lists import Lister
from .templates import Writer, read_lines

DEFAULT_COUNT = 6000
EVALUATION = "held_out.txt", "unseen.txt"
_MOST_WORDS = 25
_TRIES = 20  # sentences that are drawn for one that is kept, before it is said that there are no more


def write_texts(count: int, seed: int, rows: int = 0, advance: Callable[[], None] = lambda: None) -> list[str]:
    """`count` distinct sentences, none for evaluation: the everyday phrases first, and rows of words without a sense
    for the last `rows` of them; `advance` is called once for each.

    CosyError where the templates give fewer, and where wetext, which the front end spells numbers with, is missing.
    """
    if not has_wetext():
        raise CosyError("The texts are spelled out by wetext: pip install 'cosy_jax[text]'.")
    kept: dict[str, None] = {}
    seen = {_bare(text) for name in EVALUATION for text in held_out(name)}
    writer, lister, phrases = Writer(seed), Lister(seed), iter(read_lines("phrases.txt"))
    for _ in range(_TRIES * count):
        if len(kept) == count:
            return list(kept)
        source = writer if len(kept) < count - rows else lister
        text = spelled(next(phrases, None) or source.sentence())
        if _bare(text) in seen or len(text.split()) > _MOST_WORDS:
            continue
        seen.add(_bare(text))
        kept[text] = None
        advance()
    raise CosyError(f"The templates give {len(kept)} distinct sentences, not {count}: ask for fewer.")


def held_out(name: str = EVALUATION[0]) -> list[str]:
    """The sentences of a file that are only for evaluation, written out."""
    return [spelled(text) for text in read_lines(name)]


def spelled(text: str) -> str:
    """As the front end gives it to the tokenizer, with the first letter and the last mark that wetext may drop."""
    spoken = normalise(text)
    if spoken[-1:] not in ".!?":
        spoken += text[-1]
    return spoken[0].upper() + spoken[1:]


def _bare(text: str) -> str:
    return " ".join(re.findall(r"[a-z']+", text.lower()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the file to write, a sentence a line")
    parser.add_argument("--count", type=int, default=DEFAULT_COUNT, help="sentences (default: %(default)s)")
    parser.add_argument("--rows", type=int, default=0, help="so many of them rows of words, known and made up")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    with bar("texts", args.count) as advance:
        texts = write_texts(args.count, args.seed, args.rows, advance)
    write_whole(args.out, "".join(f"{text}\n" for text in texts).encode())
    print(f"{args.out}: {len(texts)} sentences, {len({w for t in texts for w in _bare(t).split()})} words")


if __name__ == "__main__":
    run(main)
