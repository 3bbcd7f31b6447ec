"""The columns of a shard, in the names and types of the reference's, and pyarrow, an extra.

Reference: tools/make_parquet_list.py, which has pandas write them, and cosyvoice/dataset/processor.py, parquet_opener,
which reads them.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from cosy_jax.errors import CosyError

# What the reference's shards may lack, since it can compute that while it trains; here it is computed beforehand.
COMPUTED = ("speech_token", "utt_embedding", "spk_embedding")
GIVEN = ("utt", "audio_data", "wav", "text", "spk")
INSTRUCT, REJECTED, LABELS = "instruct", "reject_speech_token", "labels"
ROWS_TOGETHER = 4  # of a row group, which is read as a whole: random access reads that many recordings for one

_LISTS = frozenset({*COMPUTED, REJECTED, LABELS})
_REMEDY = "build the data again, or leave the shard out"


def import_pyarrow() -> Any:
    """The package, with its `parquet`; CosyError where it is not installed."""
    try:
        import pyarrow
        import pyarrow.compute
        import pyarrow.parquet
    except ImportError as error:
        raise CosyError("Training data needs pyarrow: pip install 'cosy_jax[train]'.") from error
    return pyarrow


def schema(optional: Collection[str]) -> Any:
    """Of the shards that are written here: the types that pandas gives the reference's lists of Python's numbers.

    `optional`: which of REJECTED and LABELS there are.
    """
    pa = import_pyarrow()
    tokens, embedding = pa.list_(pa.int64()), pa.list_(pa.float64())
    types = {name: pa.string() for name in GIVEN} | {"audio_data": pa.binary()}
    types |= {"utt_embedding": embedding, "spk_embedding": embedding, "speech_token": tokens, INSTRUCT: pa.string()}
    types |= dict.fromkeys(sorted(optional), tokens)
    return pa.schema(list(types.items()))


def writer(file: Any, columns: Any) -> Any:
    """A `ParquetWriter` of a shard with this schema; audio is not compressed again, and a damaged page will be told by
    its checksum."""
    pa = import_pyarrow()
    return pa.parquet.ParquetWriter(
        file,
        columns,
        compression={name: "none" if name == "audio_data" else "snappy" for name in columns.names},
        use_dictionary=["spk", INSTRUCT],
        write_statistics=False,
        write_page_checksum=True,
    )


def open_shard(path: Path) -> Any:
    """A shard's `ParquetFile`; CosyError where it is missing or damaged."""
    pa = import_pyarrow()
    if not path.is_file():
        raise CosyError(f"The shard {path} is missing: copy it again, or take it out of data.list.")
    try:
        return pa.parquet.ParquetFile(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> CosyError:
    """What to raise where a shard cannot be read."""
    reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
    return CosyError(f"The shard {path} is damaged ({reason}): {_REMEDY}.")


def check_types(path: Path, shard: Any) -> None:
    """CosyError where a column that is there holds something else than its name says."""
    pa = import_pyarrow()
    for field in shard.schema_arrow:
        kind = field.type
        if field.name in _LISTS:
            right = pa.types.is_list(kind) or pa.types.is_large_list(kind)
            right |= field.name == REJECTED and pa.types.is_null(kind)  # as where none is rejected
        elif field.name == "audio_data":
            right = pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
        elif field.name in (*GIVEN, INSTRUCT):
            right = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        else:
            right = True  # columns of somebody else's
        if not right:
            raise CosyError(f"The shard {path} holds {kind} in its column {field.name}: {_REMEDY}.")


def read_rows(path: Path, shard: Any, columns: list[str], groups: list[int] | None = None) -> Any:
    """Columns of a shard's row groups (None: of all) as a table; CosyError where they are damaged."""
    pa = import_pyarrow()
    chosen = range(shard.num_row_groups) if groups is None else groups
    try:
        return shard.read_row_groups(list(chosen), columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error


def shard_paths(folder: Path) -> list[Path]:
    """The shards that a folder's data.list names, in its order; without one, its *.parquet by name. [] for none.

    A path that leads nowhere is looked for in the folder itself: folders are moved.
    """
    listed = folder / "data.list"
    if not listed.is_file():
        return sorted(folder.glob("*.parquet"))
    try:
        names = [line.strip() for line in listed.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise CosyError(f"Cannot read {listed} ({error}): it is to name a shard a line.") from error
    paths = [folder / name for name in names]
    return [path if path.is_file() else folder / path.name for path in paths]
