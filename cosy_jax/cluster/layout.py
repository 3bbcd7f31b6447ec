"""How the audio of a block of lines lies in the storage.

files    a file a line, under the line's `wav`
parquet  audio/RUN-BLOCK.parquet, a row a line, in those columns of the reference's training shards that are given
         (utt, audio_data, wav, text, spk), so that `cosy-jax dataset build` takes the folder `audio`
tar      audio/RUN-BLOCK.tar for WebDataset, of each line NUMBER.wav (its number in the manifest) and NUMBER.json with
         key, text and wav

The same lines give the same bytes, whoever writes them and however often.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from cosy_jax.batch.manifest import Line
from cosy_jax.cluster.storage import Storage
from cosy_jax.dataset.columns import GIVEN, ROWS_TOGETHER, import_pyarrow, writer

FOLDER = "audio"  # of shards


@dataclass(frozen=True)
class Recorded:
    """A line's audio as the content of a file."""

    line: Line
    content: bytes


def shard_name(layout: str, block: str) -> str:
    """Where a block's shard lies; "" for files."""
    return "" if layout == "files" else f"{FOLDER}/{block}.{layout}"


def write_shard(storage: Storage, name: str, lines: Iterable[Recorded]) -> None:
    """All lines of a block as one shard, in the order of the manifest; nothing where there is none. CosyError where it
    cannot be written."""
    ordered = sorted(lines, key=lambda each: each.line.number)
    if ordered:
        storage.write(name, _parquet(ordered) if name.endswith(".parquet") else _tar(ordered))


def _parquet(lines: Sequence[Recorded]) -> bytes:
    pa = import_pyarrow()
    columns = pa.schema([(name, pa.binary() if name == "audio_data" else pa.string()) for name in GIVEN])
    rows = [
        {
            "utt": each.line.key,
            "audio_data": each.content,
            "wav": each.line.wav,
            "text": each.line.request.text,
            "spk": str(each.line.request.voice or each.line.request.recording),
        }
        for each in lines
    ]
    file = io.BytesIO()
    with writer(file, columns) as shard:
        shard.write_table(pa.Table.from_pylist(rows, schema=columns), ROWS_TOGETHER)
    return file.getvalue()


def _tar(lines: Sequence[Recorded]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as shard:
        for each in lines:
            about = {"key": each.line.key, "text": each.line.request.text, "wav": each.line.wav}
            name = f"{each.line.number:09d}"  # WebDataset takes what is before the first dot for the key
            suffix = PurePosixPath(each.line.wav).suffix.lower()
            for end, content in ((suffix, each.content), (".json", json.dumps(about, ensure_ascii=False).encode())):
                member = tarfile.TarInfo(name + end)
                member.size = len(content)
                shard.addfile(member, io.BytesIO(content))
    return file.getvalue()
