"""Speech tokens as the labels say them, for the flow and the language model to learn.

    python -m recipes.embedded_voice.ideal --data build/embedded_voice/encoded --out build/embedded_voice/ideal

What the tokenizer hears is right in nine of ten phonemes, which bounds what a flow can learn to make of it, and a
language model learns the mistakes too. Of this speech the phonemes are known: each label has one id, that which the
tokenizer gives it most often and others seldom. Recordings to speak in the voice of are still heard, hence so is here
the beginning of most utterances, and some are from end to end.
"""

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosy_jax.dataset.columns import LABELS, ROWS_TOGETHER, import_pyarrow, open_shard, read_rows, schema
from cosy_jax.dataset.columns import writer as shard_writer
from cosy_jax.dataset.read import DATASET_FILE, open_dataset, read_record
from cosy_jax.errors import CosyError
from cosy_jax.files import whole_file, write_whole

from .common import bar, run
from .silence import read_tokens

LEARNT = Path(__file__).with_name(
    "ideal_ids.json"
)  # of a label as `labels` counts them, and the encoders of weights/embedded
HEARD_WHOLE = 0.25  # of all utterances
HEARD_MOST = 0.5  # of an utterance, where it begins as it was heard


def ids_of(data: Path) -> np.ndarray:
    """Id int (C,) of each label: those that `weights/embedded` learnt where its encoders made the data, else
    `ideal_ids` of them; CosyError for data without labels."""
    learnt = json.loads(LEARNT.read_text(encoding="utf-8"))
    if read_record(data).get("encoders") == learnt["encoders"]:
        return np.asarray(learnt["ids"], np.int32)
    return ideal_ids(*read_tokens(data))


def ideal_ids(tokens: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Id int (C,) of each of the C labels, no two the same, from speech tokens and labels int (N,) of the data.

    The more frequent label chooses first: the id with the largest p(label | id) * p(id | label) that is left. CosyError
    where there are more labels than ids.
    """
    together = np.zeros((labels.max() + 1, tokens.max() + 1))
    np.add.at(together, (labels, tokens), 1)
    by_label, by_id = together.sum(axis=1), together.sum(axis=0)
    if len(by_label) > len(by_id):
        raise CosyError(
            f"The data have {len(by_label)} labels and {len(by_id)} ids: train the speech tokenizer longer."
        )
    scores = together**2 / np.maximum(np.outer(by_label, by_id), 1)
    ids = np.zeros(len(by_label), np.int32)
    for label in np.argsort(-by_label, kind="stable"):
        ids[label] = scores[label].argmax()
        scores[:, ids[label]] = -1
    return ids


def partly_ideal(heard: list[int], ideal: list[int], draw: random.Random) -> list[int]:
    """An utterance's tokens: a beginning as it was heard, of no more than half of it, then the ideal ones; of each
    fourth utterance as it was heard throughout."""
    until = len(heard) if draw.random() < HEARD_WHOLE else int(len(heard) * HEARD_MOST * draw.random())
    return [*heard[:until], *ideal[until:]]


def rewrite(data: Path, out: Path, ids: np.ndarray, seed: int) -> Iterator[int]:
    """A copy of the data with such tokens, shard by shard; how many utterances each has."""
    draw, names = random.Random(f"{seed} ideal"), []
    out.mkdir(parents=True, exist_ok=True)
    for path in open_dataset(data).shards:
        columns = schema((LABELS,))
        table = read_rows(path, open_shard(path), columns.names)
        rows = zip(table["speech_token"].to_pylist(), table[LABELS].to_pylist(), strict=True)
        tokens = [partly_ideal(heard, ids[labels].tolist(), draw) for heard, labels in rows]
        place = table.schema.get_field_index("speech_token")
        changed = table.set_column(place, "speech_token", [tokens]).select(columns.names).cast(columns)
        with whole_file(out / path.name) as file, shard_writer(file, import_pyarrow().schema(columns)) as shard:
            shard.write_table(changed, ROWS_TOGETHER)
        names.append(path.name)
        yield len(changed)
    content = read_record(data) | {"shards": names}
    write_whole(out / DATASET_FILE, json.dumps(content, indent=2).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what `cosy-jax dataset build` wrote, with labels")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.out.resolve() == args.data.resolve():
        raise CosyError(f"--out is the folder of the data, {args.data}: name another one.")
    ids, count = ids_of(args.data), 0
    with bar("ideal", len(open_dataset(args.data))) as advance:
        for written in rewrite(args.data, args.out, ids, args.seed):
            count += written
            for _ in range(written):
                advance()
    print(f"{args.out}: {count} utterances, {len(ids)} labels")


if __name__ == "__main__":
    run(main)
