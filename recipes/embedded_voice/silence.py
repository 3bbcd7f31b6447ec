"""Which speech tokens mean silence: `llm.silent_ids` of a converted folder, found in its training data.

    python -m recipes.embedded_voice.silence --data build/embedded_voice/encoded --weights FOLDER

The language model's pauses are cut after five such ids in a row. An id means silence where the trained speech tokenizer
gave it at least 20 times, and at least 95 % of these tokens are labelled as silence (label // 6 == 0).
"""

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.checkpoint.validate import check_model
from cosy_jax.dataset.columns import LABELS, open_shard, read_rows
from cosy_jax.dataset.read import open_dataset
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

from .common import run
from .labels import PITCHES

LEAST_SEEN, LEAST_SHARE = 20, 0.95


@dataclass(frozen=True)
class Silence:
    """What the data say."""

    ids: tuple[int, ...]  # ascending
    recalled: float  # share of the tokens labelled as silence that these ids have
    wrong: float  # share of the tokens with these ids that are labelled otherwise


def find_silence(tokens: np.ndarray, labels: np.ndarray) -> Silence:
    """Of speech tokens int (N,) with their labels int (N,); CosyError where no id means silence."""
    silent = labels // PITCHES == 0
    seen = np.bincount(tokens)
    quiet = np.bincount(tokens[silent], minlength=len(seen))
    ids = np.flatnonzero((seen >= LEAST_SEEN) & (quiet >= LEAST_SHARE * seen))
    if not len(ids):
        raise CosyError(
            f"No speech token is silence in {LEAST_SHARE:.0%} of {LEAST_SEEN} uses: train the speech tokenizer longer."
        )
    found = quiet[ids].sum()
    return Silence(tuple(ids.tolist()), float(found / silent.sum()), float(1 - found / seen[ids].sum()))


def read_tokens(data: Path) -> tuple[np.ndarray, np.ndarray]:
    """Speech tokens and labels int (N,) of all utterances; CosyError where they do not go together."""
    tokens, labels = [], []
    for shard in open_dataset(data).shards:
        if LABELS not in open_shard(shard).schema_arrow.names:
            raise CosyError(f"{shard} has no labels: build the data from what recipes.embedded_voice.speak wrote.")
        table = read_rows(shard, open_shard(shard), ["utt", "speech_token", LABELS])
        for key, ids, classes in zip(*(column.to_pylist() for column in table.columns), strict=True):
            if len(ids) != len(classes or ()):
                raise CosyError(
                    f"'{key}' has {len(ids)} speech tokens and {len(classes or ())} labels: build it again."
                )
            tokens.append(ids)
            labels.append(classes)
    return np.concatenate(tokens), np.concatenate(labels)


def write_silence(weights: Path, ids: tuple[int, ...]) -> None:
    """Puts the ids into the folder's config.json. CosyError for ids that its language model does not have."""
    path, size = weights / "config.json", load_config(weights).llm.speech_token_size
    if max(ids) >= size:
        raise CosyError(
            f"The data have the speech token {max(ids)}, {weights} has {size}: name the folder they are of."
        )
    content = json.loads(path.read_text(encoding="utf-8"))
    content["model"]["llm"]["silent_ids"] = list(ids)
    check_model(content["model"], path)
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data, encoded by the trained speech tokenizer")
    parser.add_argument("--weights", type=Path, required=True, help="the converted folder whose config.json is changed")
    args = parser.parse_args()
    found = find_silence(*read_tokens(args.data))
    write_silence(args.weights, found.ids)
    print(f"{args.weights}: {len(found.ids)} ids of silence, {', '.join(map(str, found.ids))}")
    print(f"{found.recalled:.1%} of all silence has one of them, {found.wrong:.1%} of their tokens are none")


if __name__ == "__main__":
    run(main)
