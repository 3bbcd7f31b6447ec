"""The ledger of runs on a cluster."""

import pytest

from cosy_jax.batch.entries import Outcome, failed_entry
from cosy_jax.batch.ledger import Standing
from cosy_jax.batch.manifest import BadLine
from cosy_jax.cluster.record import Record, block_name, read_entries, write_entries
from cosy_jax.cluster.storage import open_storage
from cosy_jax.errors import CosyError
from tests.cluster.lines import entry, line


@pytest.fixture(params=["folder", "store"])
def storage(request, tmp_path):
    return open_storage(str(tmp_path) if request.param == "folder" else f"memory://{tmp_path.name}")


@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test_entries_are_read_as_they_were_written(storage, form):
    entries = [entry(1), entry(2, shard="audio/a.tar"), failed_entry(BadLine(3, None, "Bad."), "Bad.")]
    write_entries(storage, block_name(1, 0), form, entries)
    assert read_entries(storage, f"results/0001-00000000.{form}") == entries


@pytest.mark.parametrize("content", [b"", b"{", b"[1]\n", b'{"key": "a", "line": 1, "wav": "../a.wav"}\n'])
def test_what_is_not_ours_is_refused(storage, content):
    storage.write("results/0001-00000000.jsonl", content)
    with pytest.raises(CosyError, match="something else"):
        Record(storage, "jsonl", "files")


def test_a_line_is_spoken_where_its_entry_and_its_file_are(storage):
    write_entries(storage, block_name(1, 0), "jsonl", [entry(1), entry(2)])
    storage.write("k1.wav", b"audio")
    with Record(storage, "parquet", "files") as record:
        standings = [record.standing(line(number)) for number in (1, 2, 3)]
        assert standings == [Standing.SPOKEN, Standing.GONE, Standing.NEW] and record.run == 2


def test_a_shard_without_its_entries_goes(storage):
    for block in (0, 1):
        storage.write(f"audio/{block_name(1, block)}.tar", b"audio")
    storage.write("audio/mine.tar", b"somebody's")
    write_entries(storage, block_name(1, 0), "jsonl", [entry(1, shard=f"audio/{block_name(1, 0)}.tar")])
    write_entries(storage, block_name(1, 2), "jsonl", [entry(2, shard=f"audio/{block_name(1, 2)}.tar"), entry(3)])
    with Record(storage, "jsonl", "tar") as record:
        standings = [record.standing(line(number)) for number in (1, 2, 3)]
    assert standings == [Standing.SPOKEN, Standing.NEW, Standing.NEW]
    assert storage.names("audio") == ["audio/0001-00000000.tar", "audio/mine.tar"]


def test_lines_that_cannot_be_spoken_are_recorded(storage):
    with Record(storage, "jsonl", "files") as record:
        record.deliver(Outcome(BadLine(7, "k7", "Bad."), error="Bad."), None, 24000)
    (name,) = storage.names("results")
    assert read_entries(storage, name) == [failed_entry(BadLine(7, "k7", "Bad."), "Bad.")]
    with Record(storage, "jsonl", "files") as record:
        assert record.run == 2
