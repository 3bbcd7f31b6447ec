"""Reading shards, whoever wrote them."""

import shutil
import sys
import threading

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest

from cosy_jax.dataset import read
from cosy_jax.dataset.check import check_dataset
from cosy_jax.dataset.read import open_dataset
from cosy_jax.errors import CosyError


def rewritten(data, folder, change=lambda table: table, **options):
    """The first shard of a folder, changed, alone in a folder that knows nothing of ours."""
    folder.mkdir(exist_ok=True)
    table = change(pyarrow.parquet.read_table(min(data.glob("*.parquet"))))
    pyarrow.parquet.write_table(table, folder / "parquet_000000000.parquet", **options)
    return folder


def replaced(name, values):
    """Puts other values into a column."""

    def change(table):
        return table.set_column(table.column_names.index(name), name, pyarrow.array(values))

    return change


def same(first, second):
    np.testing.assert_array_equal(first.speech_tokens, second.speech_tokens)
    np.testing.assert_array_equal(first.speaker_embedding, second.speaker_embedding)
    assert (first.key, first.text, first.read_recording()) == (second.key, second.text, second.read_recording())


def test_data_of_the_reference(data, tmp_path):
    """One row group a shard, float32 and int32 lists, large strings, no rejected tokens, no dataset.json."""

    def as_elsewhere(table):
        small = {
            "speech_token": pyarrow.int32(),
            "utt_embedding": pyarrow.float32(),
            "spk_embedding": pyarrow.float32(),
        }
        for name, kind in small.items():
            column = table.column(name).cast(pyarrow.list_(kind))
            table = table.set_column(table.column_names.index(name), name, column)
        table = table.set_column(0, "utt", table.column("utt").cast(pyarrow.large_string()))
        return table.drop_columns("reject_speech_token").append_column("duration", pyarrow.array([1.0, 2.0]))

    found = open_dataset(rewritten(data, tmp_path / "other", as_elsewhere))
    assert found.encoders == "" and found.keys == ["a0", "a1"]
    for index in range(2):
        same(found[index], open_dataset(data)[index])
        assert found[index].rejected_tokens is None
    check_dataset(tmp_path / "other", lambda *_: None)


def test_a_folder_that_was_moved(data, tmp_path):
    shutil.copytree(data, tmp_path / "moved")
    (tmp_path / "moved/data.list").write_text(
        "".join(f"/gone/{path.name}\n" for path in sorted(data.glob("*.parquet")))
    )
    moved = open_dataset(tmp_path / "moved")
    assert moved.keys == open_dataset(data).keys
    assert {path.parent for path in moved.shards} == {tmp_path / "moved"}


def test_few_row_groups_are_kept(data, monkeypatch):
    dataset = open_dataset(data)
    monkeypatch.setattr(read, "_CACHED_BYTES", 1)
    monkeypatch.setattr(read, "_OPEN_SHARDS", 1)
    for index in (0, 4, 2, 0, 4):
        assert dataset[index].key == dataset.keys[index]
        assert dataset[index].samples(16000).any()
        assert len(dataset._cache) == len(dataset._open) == 1
    assert dataset._bytes == sum(table.nbytes for table in dataset._cache.values())


def test_many_threads(data):
    dataset, found = open_dataset(data), []
    work = [threading.Thread(target=lambda: found.extend(dataset[n % 5].key for n in range(50))) for _ in range(4)]
    for thread in work:
        thread.start()
    for thread in work:
        thread.join()
    assert sorted(found) == sorted(dataset.keys * 40)


def test_loud_recordings_are_divided_by_their_peak():
    samples = np.sin(np.arange(24000, dtype=np.float32) / 20)
    np.testing.assert_allclose(np.abs(read.peak_limited(1.5 * samples, 24000, 24000)).max(), 1)
    np.testing.assert_array_equal(read.peak_limited(0.5 * samples, 24000, 24000), 0.5 * samples)


FAULTS = {
    "speech_token": ([[1], []], "has 1 utterances without speech tokens, such as 'a1': let `cosy-jax dataset build"),
    "text": ([1, 2], "holds int64 in its column text: build the data again, or leave the shard out"),
    "audio_data": (["a", "b"], "holds string in its column audio_data"),
    "utt_embedding": (["a", "b"], "holds string in its column utt_embedding"),
    "spk_embedding": ([None, None], "holds null in its column spk_embedding"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_columns_that_hold_something_else(data, tmp_path, name):
    values, sentence = FAULTS[name]
    folder = rewritten(data, tmp_path / "other", replaced(name, values))
    with pytest.raises(CosyError, match=sentence):
        open_dataset(folder)


UNFIT = {
    "utt_embedding": ([[1.0] * 192, [1.0] * 3], "utterance 'a1' has an embedding that is damaged"),
    "spk_embedding": ([[float("nan")] * 192] * 2, "utterance 'a0' has an embedding that is damaged"),
    "speech_token": ([[-1]] * 2, "utterance 'a0' has speech tokens below 0"),
    "instruct": (["Be good."] * 2, "has an instruction without <|endofprompt|> at its end"),
    "audio_data": ([b"none"] * 2, "Cannot read the recording of 'a0' as audio"),
    "text": (["", "."], "utterance 'a0' has no text"),
    "spk": ([None, "anna"], "Utterance 0 of .* has no spk: build the data again"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_values_that_cannot_be_trained_with(data, tmp_path, name):
    values, sentence = UNFIT[name]
    folder = rewritten(data, tmp_path / "other", replaced(name, values))
    with pytest.raises(CosyError, match=sentence):
        check_dataset(folder, lambda *_: None)


def test_tokens_of_another_recording(data, tmp_path):
    folder = rewritten(data, tmp_path / "other", replaced("speech_token", [[1, 2, 3]] * 2))
    with pytest.raises(CosyError, match="'a0' has 3 speech tokens, its recording 33"):
        check_dataset(folder, lambda *_: None)


def test_damaged_shards(data, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(data, folder)
    (folder / "data.list").unlink()
    first = min(folder.glob("*.parquet"))
    content = bytearray(first.read_bytes())
    content[len(content) // 2] ^= 1  # within the audio: told by the page's checksum
    first.write_bytes(content)
    with pytest.raises(CosyError, match=r"shard-000000.parquet is damaged \(.*\): build the data again"):
        check_dataset(folder, lambda *_: None)
    first.write_bytes(content[:-100])
    with pytest.raises(CosyError, match=r"shard-000000.parquet is damaged"):
        open_dataset(folder)
    first.unlink()
    with pytest.raises(CosyError, match=r"has 3 utterances, dataset.json counts 5: copy it again"):
        check_dataset(folder, lambda *_: None)
    (folder / "data.list").write_text(f"{first}\n")
    with pytest.raises(CosyError, match=r"shard-000000.parquet is missing: copy it again"):
        open_dataset(folder)


def test_what_is_no_data(tmp_path):
    with pytest.raises(CosyError, match="There is no folder .*nowhere: make training data with"):
        open_dataset(tmp_path / "nowhere")
    with pytest.raises(CosyError, match="holds no training data: make it with"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("{")
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(CosyError, match="Cannot read .*dataset.json"):
        open_dataset(tmp_path)
    (tmp_path / "dataset.json").write_text("[]")
    with pytest.raises(CosyError, match="dataset.json is not of a training set"):
        open_dataset(tmp_path)


def test_without_pyarrow(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CosyError, match=r"Training data needs pyarrow: pip install 'cosy_jax\[train\]'."):
        open_dataset(data)
