"""What cannot be taken is left out with its reason, and an empty set is an error."""

import json

import pytest

from cosy_jax.dataset.items import Reason
from cosy_jax.dataset.read import open_dataset
from cosy_jax.dataset.report import read_report
from cosy_jax.errors import CosyError
from tests.dataset.recordings import line, manifest, piece, tone

REASONS = {
    "short": Reason.SHORT,
    "long": Reason.LONG,
    "low": Reason.LOW_RATE,
    "silent": Reason.SILENT,
    "noise": Reason.UNREADABLE,
    "cut": Reason.UNREADABLE,
    "absent": Reason.UNREADABLE,
    "device": Reason.UNREADABLE,
    "good": Reason.REPEATED,
    "empty": Reason.UNSPEAKABLE,
    "dots": Reason.UNSPEAKABLE,
    "wordy": Reason.LONG_TEXT,
    "dense": Reason.MISMATCH,
    "nobody": Reason.BAD_LINE,
    "rejected": Reason.REJECTED,
    "unknown": Reason.BAD_LINE,
    None: Reason.BAD_LINE,
}


def test_nothing_is_dropped_silently(build, tmp_path):
    piece(tmp_path / "good", 0, 2)
    piece(tmp_path / "brief", 0, 1.05)
    tone(tmp_path / "short.wav", 0.9)
    tone(tmp_path / "long.wav", 30.1, 16000)
    tone(tmp_path / "low.wav", 2, 8000)
    tone(tmp_path / "silent.wav", 2, level=0)
    (tmp_path / "noise.wav").write_bytes(b"no audio")
    (tmp_path / "cut.wav").write_bytes((tmp_path / "good.wav").read_bytes()[:20000])
    lines = [
        *map(line, ("good", "short", "long", "low", "silent", "noise", "cut", "absent")),
        line("device", "/dev/zero"),
        line("good", text="Again."),
        line("empty", "good.wav", text=" "),
        line("dots", "good.wav", text="..."),
        line("wordy", "good.wav", text="word " * 201),
        line("dense", "brief.wav", text="word " * 80),
        line("nobody", "good.wav", speaker=" "),
        line("rejected", "good.wav", rejected_wav="short.wav"),
        line("unknown", pitch=2),
        "{no json",
    ]
    report = build(manifest(tmp_path, *lines), tmp_path / "out")
    assert report.taken == 1 and report.taken + len(report.left_out) == len(lines)
    found = {left.key: (left.reason, left.error) for left in report.left_out}
    assert {key: reason for key, (reason, _) in found.items()} == REASONS
    assert found["long"][1] == "The recording is 30.1 s long: cut it to 30 s or less."
    assert found["low"][1] == "The recording has a sample rate of 8000 Hz: use one of 16000 Hz or more."
    for _, error in found.values():
        assert error.endswith(".") and "\n" not in error
    assert read_report(tmp_path / "out") == report
    assert report.single_speakers == report.speakers == 1
    written = json.loads((tmp_path / "out/report.json").read_text())
    assert written["left_out"]["its recording cannot be read"] == 4


def test_nothing_usable_is_an_error_and_reported(build, tmp_path):
    with pytest.raises(CosyError, match="No utterance can be used, .*report.json says why"):
        build(manifest(tmp_path, line("absent")), tmp_path / "out")
    assert read_report(tmp_path / "out").taken == 0
    with pytest.raises(CosyError, match="is not complete"):
        open_dataset(tmp_path / "out")
