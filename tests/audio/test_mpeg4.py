"""MPEG-4 recordings, with a program in the place of ffmpeg."""

import os

import numpy as np
import pytest
import soundfile

from cosy_jax.audio import mpeg4
from cosy_jax.audio.read import load_audio
from cosy_jax.errors import CosyError

MPEG4 = b"\0\0\0\x20ftypM4A \0\0\0\0"


@pytest.fixture
def ffmpeg(tmp_path, monkeypatch):
    """Writes the program: lines of a shell, in which $out is the file to write and $sound a WAV file."""
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    sound = tmp_path / "sound.wav"
    soundfile.write(sound, np.stack([np.full(24000, 0.5), np.full(24000, -0.25)], axis=1), 24000, "FLOAT")
    (tmp_path / "voice.m4a").write_bytes(MPEG4)

    def write(lines):
        program = tmp_path / "ffmpeg"
        program.write_text(f'#!/bin/sh\nfor out; do :; done\nsound={sound}\nargs="$*"\n{lines}\n')
        program.chmod(0o755)
        return tmp_path / "voice.m4a"

    return write


def test_without_ffmpeg(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "voice.m4a").write_bytes(MPEG4)
    with pytest.raises(CosyError, match=r"voice\.m4a' is MPEG-4 audio, which ffmpeg reads: install it, or convert"):
        load_audio(tmp_path / "voice.m4a")


def test_what_ffmpeg_makes_is_read_as_any_recording(ffmpeg, tmp_path):
    path = ffmpeg(f'cp "$sound" "$out"; echo "$args $out" > {tmp_path}/asked')
    samples, rate = load_audio(path)
    assert (samples.shape, rate) == ((24000,), 24000)
    np.testing.assert_allclose(samples, 0.125)
    asked = (tmp_path / "asked").read_text()
    assert f"-f mov -protocol_whitelist file -i file:{path} " in asked
    assert not os.path.exists(asked.split()[-1])
    with pytest.raises(CosyError, match=r"voice\.m4a' is 1\.0 s long: cut it to at most 0 s"):
        load_audio(path, 0.25)


@pytest.mark.parametrize(
    ("lines", "reason"),
    [
        ("echo broken >&2; echo file >&2; exit 1", r"cannot be decoded \(broken file\)"),
        ("exit 0", r"cannot be decoded \(no reason given\)"),
        ("exec sleep 60", r"cannot be decoded \(TimeoutExpired\)"),
        ('cp "$sound" "$out"', "is too long to be decoded"),
        ('head -c 1000 "$sound" > "$out"', "is truncated"),
    ],
)
def test_what_can_go_wrong(ffmpeg, monkeypatch, lines, reason):
    monkeypatch.setattr(mpeg4, "_LONGEST_WAIT", 0.5 if "sleep" in lines else 60)
    monkeypatch.setattr(mpeg4, "_LARGEST", 1000 if "too long" in reason else 2**30)
    with pytest.raises(CosyError, match=rf"voice\.m4a' {reason}"):
        load_audio(ffmpeg(lines))
