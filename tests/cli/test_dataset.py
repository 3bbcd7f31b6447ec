"""`cosy-jax dataset`."""

import json

import pytest

from cosy_jax.cli import main
from tests.conftest import TINY
from tests.dataset.conftest import recorded  # noqa: F401
from tests.dataset.recordings import line, manifest


def build(source, out, *options):
    words = ["dataset", "build", source, out, "--weights", TINY, "--compile-cache", "off", *options]
    return main([str(word) for word in words])


@pytest.mark.slow
def test_built_and_shown(recorded, tmp_path, capsys):  # noqa: F811
    source = recorded.with_name("more.jsonl")
    source.write_text(recorded.read_text() + json.dumps(line("absent")) + "\n")
    assert build(source, tmp_path / "out", "--shard-size", 2) == 0
    printed = capsys.readouterr()
    assert "5 utterances, 0.00 h (0:00:10)" in printed.out
    assert "1 because its recording cannot be read" in printed.out and "absent: No recording at" in printed.out
    assert "warning: 1 speakers have one utterance" in printed.err
    assert build(source, tmp_path / "out", "--shard-size", 2, "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["taken"] == 5 and report["left_out"] == {"its recording cannot be read": 1}
    assert main(["dataset", "show", str(tmp_path / "out")]) == 0
    printed = capsys.readouterr().out
    assert "5 in 3 shards" in printed and "2, 1 of them with one utterance" in printed
    assert "1 utterances have rejected tokens" in printed and "utt, audio_data, wav" in printed
    assert main(["dataset", "show", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["speakers"] == 2


def test_bad_input_is_a_sentence(tmp_path, capsys):
    assert build(manifest(tmp_path, line("a")), tmp_path / "out", "--max-seconds", 60) == 2
    sentence = "Recordings of 1 to 60 s cannot be asked for: stay within 0.05 and 30 s."
    assert capsys.readouterr().err == f"cosy-jax: --min-seconds or --max-seconds: {sentence}\n"
    assert build(tmp_path / "train.jsonl", tmp_path / "out", "--shard-size", 0) == 2
    assert "--shard-size: Shards of 0 utterances cannot be made" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main(["dataset", "show", str(tmp_path)]) == 2
    assert "holds no training data" in capsys.readouterr().err
