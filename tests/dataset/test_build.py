"""From recordings to shards, and back."""

import math
import os
import shutil
import subprocess
import sys
import time
from io import BytesIO

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import soundfile

from cosy_jax.audio.read import load_audio
from cosy_jax.checkpoint.reader import encoders_digest
from cosy_jax.dataset.encode import Bounds, training_log_mel
from cosy_jax.dataset.read import open_dataset
from cosy_jax.errors import CosyError
from cosy_jax.prompt.encode import batch_speech_tokens, encode_prompt
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.text.check import SYSTEM_PREFIX
from tests.conftest import TINY
from tests.dataset.recordings import TEXT, line, manifest
from tests.reference import REPOSITORY


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_is_written_is_read(recorded, data):
    dataset = open_dataset(data)
    assert dataset.keys == [utterance.key for utterance in dataset] == ["a0", "a1", "a2", "a3", "b0"]
    assert dataset.encoders == encoders_digest(TINY)
    for utterance in dataset:
        suffix = ".flac" if utterance.key == "b0" else ".wav"
        path = recorded.with_name(utterance.key + suffix)
        assert utterance.read_recording() == path.read_bytes() and utterance.text == TEXT
        samples, rate = load_audio(path)
        assert len(utterance.samples(24000)) == math.ceil(len(samples) * 24000 / rate)
        assert utterance.samples(24000).dtype == np.float32
    assert [utterance.speaker for utterance in dataset] == ["anna"] * 4 + ["ben"]
    assert dataset[0].instruct == SYSTEM_PREFIX and dataset[4].instruct == "Softly.<|endofprompt|>"
    assert dataset[3].instruct == "You are a helpful assistant. Speak happily.<|endofprompt|>"
    assert list(dataset.token_counts) == [len(utterance.speech_tokens) for utterance in dataset]
    np.testing.assert_allclose(dataset.seconds, dataset.token_counts / 25)
    assert list(dataset.text_lengths) == [len(TEXT)] * 5
    with pytest.raises(IndexError):
        dataset[5]


def test_speaker_is_the_mean_of_the_utterances(data):
    dataset = open_dataset(data)
    embeddings = np.stack([dataset[index].utterance_embedding for index in range(4)])
    for index in range(4):
        np.testing.assert_allclose(dataset[index].speaker_embedding, embeddings.mean(axis=0), atol=1e-6)
    np.testing.assert_array_equal(dataset[4].speaker_embedding, dataset[4].utterance_embedding)
    assert np.ptp(embeddings, axis=0).max() > 1e-3


def test_batched_encoding_equals_one_by_one(recorded, data, synthesizer):
    stages = [synthesizer.params(stage) for stage in ("speech_tokenizer", "speaker_encoder")]
    for utterance in open_dataset(data):
        path = recorded.with_name(utterance.key + (".flac" if utterance.key == "b0" else ".wav"))
        prompt = encode_prompt(path, *stages, synthesizer.config)
        np.testing.assert_allclose(utterance.utterance_embedding, prompt.speaker_embedding, atol=2e-5)
        log_mel = training_log_mel(*load_audio(path), synthesizer.config)
        (alone,) = batch_speech_tokens([log_mel], stages[0], synthesizer.config)
        np.testing.assert_array_equal(utterance.speech_tokens, alone)
        assert len(alone) - len(prompt.speech_tokens) in (0, 1)  # a prompt is cut to whole tokens, not padded


@pytest.mark.parametrize("rate", [16000, 22050, 24000, 44100, 48000])
def test_two_mel_frames_for_each_token(encoders, rate):
    """Of any length: tokens of a recording as it is are one too few for a quarter of them."""
    config = encoders.config
    random = np.random.default_rng(0)
    for length in random.integers(rate, 2 * rate, 8):
        samples = random.normal(0, 0.1, length).astype(np.float32)
        log_mel = training_log_mel(samples, rate, config)
        assert len(log_mel) % 4 == 0
        wanted = math.ceil(math.ceil(length * 24000 / rate) / 960)
        assert len(log_mel) // 4 == wanted
        padded = np.zeros(960 * wanted, np.float32)
        assert len(mel_spectrogram(padded, config.prompt_mel, 24000)) == 2 * wanted


def test_rejected_reading_is_encoded_as_its_recording_would_be(data):
    dataset = open_dataset(data)
    np.testing.assert_array_equal(dataset[3].rejected_tokens, dataset[0].speech_tokens)
    assert dataset[0].rejected_tokens is None


def test_read_as_the_reference_reads(data):
    """Batches of 64 rows of each shard that data.list names, as pandas' or pyarrow's values.

    Reference: cosyvoice/dataset/processor.py, parquet_opener, whose next steps take list lengths and torch tensors.
    """
    rows = []
    for path in (data / "data.list").read_text().split():
        for batch in pyarrow.parquet.ParquetFile(path).iter_batches(batch_size=64):
            rows += batch.to_pylist()
    names = ["utt", "audio_data", "wav", "text", "spk", "utt_embedding", "spk_embedding", "speech_token", "instruct"]
    assert list(rows[0]) == [*names, "reject_speech_token"]
    assert [row["utt"] for row in rows] == ["a0", "a1", "a2", "a3", "b0"]
    for row in rows:
        samples, rate = soundfile.read(BytesIO(row["audio_data"]))
        assert len(samples) / rate > 1
        assert len(row["utt_embedding"]) == len(row["spk_embedding"]) == 192
        assert all(isinstance(value, int) for value in row["speech_token"])
        assert all(isinstance(value, float) for value in row["utt_embedding"])


def without(data, folder, *columns):
    """The shards as the reference's tools leave them where nothing was computed, in one row group each."""
    folder.mkdir()
    for number, path in enumerate(sorted(data.glob("*.parquet"))):
        table = pyarrow.parquet.read_table(path).drop_columns(list(columns))
        pyarrow.parquet.write_table(table, folder / f"parquet_{number:09d}.tar")
    names = sorted(path.name for path in folder.iterdir())
    (folder / "data.list").write_text("".join(f"/elsewhere/{name}\n" for name in names))
    return folder


def test_shards_without_tokens_are_completed(data, build, tmp_path):
    bare = without(data, tmp_path / "bare", "speech_token", "utt_embedding", "spk_embedding", "instruct")
    with pytest.raises(CosyError, match="lacks speech_token, utt_embedding, spk_embedding, instruct: let `cosy-jax"):
        open_dataset(bare)
    build(bare, tmp_path / "out")
    for before, after in zip(open_dataset(data), open_dataset(tmp_path / "out"), strict=True):
        assert (before.key, before.read_recording(), before.speaker) == (
            after.key,
            after.read_recording(),
            after.speaker,
        )
        np.testing.assert_array_equal(before.speech_tokens, after.speech_tokens)
        np.testing.assert_array_equal(before.speaker_embedding, after.speaker_embedding)
        assert after.instruct == SYSTEM_PREFIX
        assert (before.rejected_tokens is None) == (after.rejected_tokens is None)


def test_finished_data_is_left_as_it_is(recorded, data, build):
    before = files(data)
    assert build(recorded, data).taken == 5
    assert files(data) == before


def test_a_killed_build_goes_on(recorded, data, build, tmp_path, monkeypatch):
    """Stopped after each thing that it tells: what is there stays, and the end is the same."""
    out = tmp_path / "out"

    class KilledError(Exception):
        pass

    stops = 0
    while True:
        count = iter(range(stops + 1))

        def progress(*_, count=count):
            if next(count, None) is None:
                raise KilledError

        try:
            build(recorded, out, progress=progress)
            break
        except KilledError:
            stops += 3
            assert not list(out.glob(".cosy_jax*"))
    assert stops > 6
    expected, found = files(data), files(out)
    assert found.keys() == expected.keys()
    assert all(found[name] == expected[name] for name in expected if name.endswith(".parquet"))


def test_what_is_encoded_is_not_encoded_again(recorded, encoders, tmp_path, monkeypatch):
    from cosy_jax.dataset.build import build_dataset
    from cosy_jax.dataset.sources import read_source

    monkeypatch.setattr("cosy_jax.dataset.build.write_shards", lambda *_: 1 / 0)
    source = read_source(recorded)
    with pytest.raises(ZeroDivisionError):
        build_dataset(source, encoders, tmp_path / "out", 2, lambda *_: None)
    monkeypatch.undo()
    monkeypatch.setattr(type(encoders), "encode", lambda *_: 1 / 0)
    assert build_dataset(source, encoders, tmp_path / "out", 2, lambda *_: None).taken == 5


def test_a_recording_that_changes_meanwhile_is_encoded_anew(recorded, build, tmp_path):
    for path in recorded.parent.iterdir():
        shutil.copy(path, tmp_path)
    source, out = tmp_path / recorded.name, tmp_path / "out"

    def change(what, done, total):
        if what == "encoding" and done == total:
            shutil.copy(tmp_path / "a1.wav", tmp_path / "a2.wav")

    with pytest.raises(CosyError, match=r"a2.wav was changed while the data was built: start again"):
        build(source, out, progress=change)
    build(source, out)
    dataset = open_dataset(out)
    np.testing.assert_array_equal(dataset[1].speech_tokens, dataset[2].speech_tokens)


def test_foreign_folders_are_refused(recorded, data, build, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CosyError, match="holds something else than training data"):
        build(recorded, tmp_path)
    assert files(tmp_path) == {"notes.txt": b"mine"}
    with pytest.raises(CosyError, match="with another set of options: name a new folder"):
        build(recorded, data, shard_size=3)
    with pytest.raises(CosyError, match="with another manifest or source folder"):
        build(manifest(tmp_path, line("a0")), data)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/build.json").write_text("[]")
    with pytest.raises(CosyError, match="build.json is not of training data"):
        build(recorded, tmp_path / "out")
    with pytest.raises(CosyError, match="No training data at"):
        build(tmp_path / "nowhere", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_one_process_at_a_time(recorded, build, tmp_path):
    def again(what, done, total):
        with pytest.raises(CosyError, match="Another process builds in"):
            build(recorded, tmp_path / "out")

    assert build(recorded, tmp_path / "out", progress=again).taken == 5


@pytest.mark.parametrize("bounds", [(0, 30, 200), (1, 31, 200), (5, 4, 200), (1, 30, 0), (float("nan"), 30, 200)])
def test_bounds_that_cannot_be(bounds):
    with pytest.raises(CosyError, match="cannot be asked for"):
        Bounds(*bounds)


def visible(folder):
    return {path for path in folder.rglob("*") if not path.name.startswith(".")}


@pytest.mark.slow
def test_killed_at_any_moment(recorded, data, tmp_path):
    """SIGKILL as soon as a file comes or goes, until nothing is left to do: the shards are those of one undisturbed."""
    out = tmp_path / "out"
    command = [sys.executable, "-m", "cosy_jax", "dataset", "build", recorded, out, "--weights", TINY]
    command += ["--shard-size", "2", "--compile-cache", REPOSITORY / ".pytest_cache/xla"]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    killed = 0
    while True:
        before = visible(out)
        process = subprocess.Popen([*map(str, command)], env=environment, cwd=REPOSITORY)
        while process.poll() is None and visible(out) == before:
            time.sleep(0.001)
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        killed += 1
        for path in out.glob("*.parquet"):
            assert path.read_bytes() == (data / path.name).read_bytes()
    assert process.returncode == 0 and killed > 3
    assert open_dataset(out).keys == open_dataset(data).keys
    assert {path.name for path in visible(out)} == {path.name for path in data.iterdir()}
    for path in data.glob("*.parquet"):
        assert path.read_bytes() == (out / path.name).read_bytes()
