"""Kaldi-style folders."""

import numpy as np
import pytest

from cosy_jax.dataset.items import Reason
from cosy_jax.dataset.read import open_dataset
from cosy_jax.errors import CosyError
from tests.dataset.recordings import TEXT


def kaldi(recorded, folder):
    wavs = {path.stem: path for path in recorded.parent.iterdir() if path.suffix in (".wav", ".flac")}
    tables = {
        "wav.scp": {key: str(path) for key, path in sorted(wavs.items())},
        "text": {key: f"{TEXT}  Fine. " for key in wavs},
        "utt2spk": {key: "ben" if key == "b0" else "anna" for key in wavs},
        "instruct": {"a0": "Be.<|endofprompt|>"},
    }
    for name, table in tables.items():
        (folder / name).write_text("".join(f"{key} {value}\n" for key, value in table.items()))
    return folder


def test_kaldi_folder(recorded, data, build, tmp_path):
    report = build(kaldi(recorded, tmp_path), tmp_path / "out")
    assert report.taken == 5 and not report.left_out
    dataset, other = open_dataset(tmp_path / "out"), open_dataset(data)
    assert dataset.keys == other.keys
    assert dataset[1].text == f"{TEXT} Fine." and dataset[0].instruct == "Be.<|endofprompt|>"
    for index in range(5):
        np.testing.assert_array_equal(dataset[index].speech_tokens, other[index].speech_tokens)
        np.testing.assert_array_equal(dataset[index].speaker_embedding, other[index].speaker_embedding)


def test_kaldi_lines_that_do_not_fit(recorded, build, tmp_path):
    folder = kaldi(recorded, tmp_path)
    with (folder / "wav.scp").open("a") as file:
        file.write("a1 other.wav\nc0 sox a.mp3 |\nc1 c1.wav\n")
    with (folder / "text").open("ab") as file:
        file.write(b"c0 Hello.\nc2 Hello.\n\xff\n")
    with (folder / "utt2spk").open("a") as file:
        file.write("c0 anna\nc1 anna\n")
    report = build(folder, tmp_path / "out")
    assert report.taken == 5
    assert {(left.key, left.reason) for left in report.left_out} == {
        ("a1", Reason.REPEATED),
        ("c0", Reason.UNREADABLE),
        ("c1", Reason.INCOMPLETE),
        ("c2", Reason.INCOMPLETE),
        (None, Reason.BAD_LINE),
    }
    (folder / "utt2spk").unlink()
    with pytest.raises(CosyError, match="lacks utt2spk"):
        build(folder, tmp_path / "other")
