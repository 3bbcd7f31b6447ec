"""A manifest from anywhere as a file of JSON lines, or of plain text, on this machine."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from cosy_jax.batch.spool import readable_again
from cosy_jax.dataset.columns import damaged, import_pyarrow
from cosy_jax.errors import CosyError

_ROWS = 10_000  # in memory at a time


@contextmanager
def local_manifest(address: str) -> Iterator[tuple[Path, Path]]:
    """A file of the lines, and the folder that relative recordings count from, as `batch.spool.readable_again`; of an
    address that is the working directory, as of a pipe.

    CosyError where it cannot be read, or a row of a .parquet holds what JSON has no name for.
    """
    with TemporaryDirectory(prefix="cosy_jax-manifest-") as scratch:
        remote = "://" in address
        source = _fetched(address, Path(scratch)) if remote else Path(address)
        with readable_again(source) as (path, folder):
            if source.suffix.lower() == ".parquet":
                path = _as_json(path, Path(scratch) / "rows.jsonl")
            yield path, (Path() if remote else folder).absolute()


def _fetched(address: str, scratch: Path) -> Path:
    import fsspec

    target = scratch / f"manifest{Path(address).suffix}"
    try:
        with fsspec.open(address, "rb") as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy)
    except (OSError, ImportError, ValueError) as error:
        raise CosyError(f"Cannot read the manifest {address}: {str(error).rstrip('.')}.") from error
    return target


def _as_json(path: Path, target: Path) -> Path:
    pa = import_pyarrow()
    try:
        with pa.parquet.ParquetFile(path) as rows, target.open("w", encoding="utf-8") as lines:
            for batch in rows.iter_batches(_ROWS):
                for row in batch.to_pylist():
                    lines.write(json.dumps(row) + os.linesep)
    except TypeError as error:
        raise CosyError(f"The manifest {path} holds more than texts and numbers ({error}): leave that out.") from error
    except (OSError, pa.ArrowException) as error:
        raise damaged(path, error) from error
    return target
