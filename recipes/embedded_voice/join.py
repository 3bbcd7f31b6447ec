"""Sentences joined into longer utterances of one speaker, for the language model alone.

    python -m recipes.embedded_voice.join --data build/embedded_voice/more/encoded \\
        --ids build/embedded_voice/encoded --out build/embedded_voice/joined

When it speaks in a voice, a recording and its transcript stand in front of the new ones: rows of two and more
sentences, each with speech tokens of its own. The data's sentences by themselves are a third of that length, and a
model that never saw longer rows does not read them. Their tokens are those that the labels mean (`ideal`); but the
first sentence of three in four rows of two or more has what the tokenizer heard, as a recording has.
"""

import argparse
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.dataset.columns import (
    COMPUTED,
    INSTRUCT,
    LABELS,
    ROWS_TOGETHER,
    import_pyarrow,
    open_shard,
    read_rows,
    schema,
)
from cosy_jax.dataset.columns import writer as shard_writer
from cosy_jax.dataset.read import DATASET_FILE, open_dataset, read_record
from cosy_jax.errors import CosyError
from cosy_jax.files import whole_file, write_whole

from .common import bar, run
from .ideal import ids_of

SIZES, SHARES = (1, 2, 3, 4), (0.2, 0.4, 0.25, 0.15)  # sentences of a row, and how often
HEARD = 0.75  # how often the first of several is as it was heard
MAX_TOKENS = 300  # 12 s
SHARD = "shard-000000.parquet"
IDEAL = "ideal"  # the ids that an utterance's labels mean

Row = dict[str, Any]


def join(rows: list[Row], seed: int) -> list[Row]:
    """Every row once, joined with others of its speaker or by itself, in an order that the seed gives."""
    draw = random.Random(f"{seed} join")
    speakers: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        speakers[row["spk"]].append(row)
    joined = []
    for spoken in speakers.values():
        draw.shuffle(spoken)
        while spoken:
            taken = _take(spoken, draw.choices(SIZES, SHARES)[0])
            joined.append(_joined(taken, len(taken) > 1 and draw.random() < HEARD))
    draw.shuffle(joined)
    return joined


def _take(rows: list[Row], most: int) -> list[Row]:
    taken = [rows.pop()]
    while rows and len(taken) < most and _tokens(taken) + len(rows[-1]["speech_token"]) <= MAX_TOKENS:
        taken.append(rows.pop())
    return taken


def _tokens(rows: list[Row]) -> int:
    return sum(len(row["speech_token"]) for row in rows)


def _joined(rows: list[Row], heard: bool) -> Row:
    """One row of several, the first one's tokens as they were heard or not; of the first where it must be of one."""
    said = [rows[0]["speech_token"] if heard else rows[0][IDEAL], *(row[IDEAL] for row in rows[1:])]
    joined = rows[0] | {
        "utt": "+".join(row["utt"] for row in rows),
        "text": " ".join(row["text"] for row in rows),
        "speech_token": [token for tokens in said for token in tokens],
        "audio_data": b"",
        "wav": "",
    }
    del joined[IDEAL]
    return joined


def read(data: Path, ids: np.ndarray) -> list[Row]:
    """What the language model needs of every utterance, `ids` int (C,) being those of the labels; CosyError for data
    that cannot be read."""
    names = ["utt", "text", "spk", INSTRUCT, *COMPUTED, LABELS]
    rows = [
        row for shard in open_dataset(data).shards for row in read_rows(shard, open_shard(shard), names).to_pylist()
    ]
    return [row | {IDEAL: ids[row.pop(LABELS)].tolist()} for row in rows]


def write(rows: list[Row], out: Path, record: dict[str, Any]) -> None:
    """A training set of these rows, without their recordings."""
    out.mkdir(parents=True, exist_ok=True)
    columns = schema(())
    with whole_file(out / SHARD) as file, shard_writer(file, columns) as shard, bar("joined", len(rows)) as advance:
        for start in range(0, len(rows), ROWS_TOGETHER):
            together = rows[start : start + ROWS_TOGETHER]
            shard.write_table(import_pyarrow().Table.from_pylist(together, schema=columns), ROWS_TOGETHER)
            for _ in together:
                advance()
    content = record | {"utterances": len(rows), "shards": [SHARD]}
    write_whole(out / DATASET_FILE, json.dumps(content, indent=2).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="what `cosy-jax dataset build` wrote, with labels")
    parser.add_argument(
        "--ids", type=Path, help="the data that `ideal` was given, whose ids these are (default: --data)"
    )
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.out.resolve() == args.data.resolve():
        raise CosyError(f"--out is the folder of the data, {args.data}: name another one.")
    ids = ids_of(args.ids or args.data)
    rows = join(read(args.data, ids), args.seed)
    write(rows, args.out, read_record(args.data))
    print(f"{args.out}: {len(rows)} rows, {_tokens(rows) / len(rows):.0f} speech tokens each")


if __name__ == "__main__":
    run(main)
