"""Audio in files and in shards."""

import io
import json
import tarfile

import pyarrow.parquet
import pytest

from cosy_jax.audio.write import audio_bytes, write_audio
from cosy_jax.cluster.layout import Recorded, shard_name, write_shard
from cosy_jax.cluster.storage import LocalFolder
from cosy_jax.dataset.sources import read_source
from tests.cluster.lines import line, samples


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".mp3"])
def test_bytes_are_those_of_a_file(tmp_path, suffix):
    write_audio(tmp_path / f"a{suffix}", samples(1), 24000)
    assert audio_bytes(f"b{suffix}", samples(1), 24000) == (tmp_path / f"a{suffix}").read_bytes()


@pytest.fixture(params=["parquet", "tar"])
def shard(request, tmp_path):
    storage, name = LocalFolder(tmp_path), shard_name(request.param, "0001-00000000")
    lines = [Recorded(line(number), audio_bytes("a.wav", samples(number), 24000)) for number in (2, 1)]
    write_shard(storage, name, lines)
    return storage, name, lines


def test_lines_in_any_order_make_the_same_shard(shard):
    storage, name, lines = shard
    before = storage.read(name)
    write_shard(storage, name, reversed(lines))
    assert storage.read(name) == before


def test_a_shard_has_the_lines_in_the_order_of_the_manifest(shard):
    storage, name, (second, first) = shard
    if name.endswith(".tar"):
        with tarfile.open(fileobj=io.BytesIO(storage.read(name))) as found:
            content = {each: found.extractfile(each).read() for each in found.getnames()}
        assert list(content) == ["000000001.wav", "000000001.json", "000000002.wav", "000000002.json"]
        assert content["000000001.wav"] == first.content
        assert json.loads(content["000000002.json"]) == {"key": "k2", "text": "Good.", "wav": "k2.wav"}
    else:
        rows = pyarrow.parquet.read_table(io.BytesIO(storage.read(name))).to_pylist()
        assert [row["utt"] for row in rows] == ["k1", "k2"] and rows[0]["audio_data"] == first.content
        assert rows[1]["text"] == "Good." and rows[1]["wav"] == "k2.wav"


def test_parquet_shards_are_training_data(tmp_path):
    content = audio_bytes("a.wav", samples(1), 24000)
    write_shard(LocalFolder(tmp_path), shard_name("parquet", "0001-00000000"), [Recorded(line(1), content)])
    (item,) = read_source(tmp_path / "audio").items
    assert item.key == "k1" and item.read() == content


def test_nothing_spoken_is_no_shard(tmp_path):
    write_shard(LocalFolder(tmp_path), "audio/0001-00000000.tar", [])
    assert not list(tmp_path.iterdir())
