"""Manifests from anywhere."""

from pathlib import Path

import fsspec
import pyarrow
import pyarrow.parquet
import pytest

from cosy_jax.batch.manifest import Reading, read_manifest
from cosy_jax.cluster.manifests import local_manifest
from cosy_jax.errors import CosyError

ROWS = [
    {"key": "a", "text": "Good.", "prompt_wav": "v.wav", "prompt_text": "This.", "seed": 3},
    {"key": "b", "text": "您好。", "prompt_wav": "v.wav", "prompt_text": "This.", "seed": None},
]


def lines(address):
    with local_manifest(str(address)) as (path, folder):
        return list(read_manifest(path, reading=Reading(folder))), folder


def test_rows_of_parquet_are_lines(tmp_path):
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "m.parquet")
    (first, second), folder = lines(tmp_path / "m.parquet")
    assert folder == tmp_path and first.request.recording == tmp_path / "v.wav"
    assert (first.number, first.key, first.request.seed) == (1, "a", 3)
    assert (second.number, second.request.text, second.request.seed) == (2, "您好。", 0)


def test_an_address_counts_from_the_working_folder(tmp_path):
    with fsspec.open("memory://m/lines.jsonl", "wb") as file:
        file.write(b'{"key": "a", "text": "Good.", "prompt_wav": "v.wav", "prompt_text": "This."}\n')
    (line,), folder = lines("memory://m/lines.jsonl")
    assert line.key == "a" and folder == Path.cwd()


def test_what_cannot_be_read_is_a_sentence(tmp_path):
    (tmp_path / "m.parquet").write_bytes(b"no parquet")
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([{"key": b"a"}]), tmp_path / "b.parquet")
    for address in (tmp_path / "m.parquet", tmp_path / "b.parquet", "memory://m/absent.jsonl", "nosuch://m"):
        with pytest.raises(CosyError):
            lines(address)
