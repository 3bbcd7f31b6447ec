"""Audio files: every format whole, and growing while they are written."""

import os
import resource
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.write import write_audio, write_pieces
from cosy_jax.compare.snr import snr_db
from cosy_jax.errors import CosyError

RATE = 24000
SUFFIXES = ("wav", "flac", "mp3", "ogg", "opus")
TONE = (0.5 * np.sin(np.arange(3 * RATE) * 2 * np.pi * 440 / RATE)).astype(np.float32)
PIECES = np.split(TONE, [RATE, 2 * RATE])


@contextmanager
def file_size_limit(size):
    """No file can grow beyond it, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def interrupted(pieces):
    yield from pieces
    raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_whole_and_in_pieces_are_the_same_speech(suffix, tmp_path):
    whole, pieces = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    write_audio(whole, TONE, RATE)
    write_pieces(pieces, PIECES, RATE)
    samples, rate = soundfile.read(whole)
    assert rate == RATE and snr_db(samples, TONE) > (60 if suffix in ("wav", "flac") else 15)
    assert np.array_equal(soundfile.read(pieces)[0], samples)
    assert sorted(tmp_path.iterdir()) == [whole, pieces]


def test_streamed_wav_is_the_file_that_libsndfile_writes(tmp_path):
    loud = np.concatenate([TONE, 3 * TONE])
    write_audio(tmp_path / "a.wav", loud, RATE)
    write_pieces(tmp_path / "b.wav", np.split(loud, 6), RATE)
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def watched(part, measure, found):
    """The pieces; appends what `measure` finds in the part after each."""
    for piece in PIECES:
        yield piece
        found.append(measure(part))


def test_wav_can_be_played_while_it_grows(tmp_path):
    part, heard = tmp_path / "a.part.wav", []
    write_pieces(tmp_path / "a.wav", watched(part, soundfile.read, heard), RATE)
    for count, (samples, rate) in enumerate(heard, 1):
        assert rate == RATE and np.abs(samples - TONE[: count * RATE]).max() < 2**-14
    assert len(heard) == 3 and not part.exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_grows(suffix, tmp_path):
    sizes = []
    part = tmp_path / f"a.part.{suffix}"
    write_pieces(tmp_path / f"a.{suffix}", watched(part, lambda path: path.stat().st_size, sizes), RATE)
    assert 0 < sizes[0] < sizes[1] < sizes[2]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_interrupted_stream_leaves_the_finished_file_and_names_the_part(suffix, tmp_path):
    path, part = tmp_path / f"a.{suffix}", tmp_path / f"a.part.{suffix}"
    write_audio(path, TONE[::2], RATE)
    before = path.read_bytes()
    with pytest.raises(KeyboardInterrupt) as caught:
        write_pieces(path, interrupted(PIECES[:2]), RATE)
    assert path.read_bytes() == before
    assert caught.value.__notes__ == [f"what was made until then is in {part}"]
    assert soundfile.info(part).frames == 2 * RATE
    with pytest.raises(KeyboardInterrupt):
        write_pieces(path, interrupted(PIECES[:1]), RATE)
    assert soundfile.info(tmp_path / f"a.part-2.{suffix}").frames == RATE
    write_pieces(path, PIECES, RATE)
    assert soundfile.info(path).frames == 3 * RATE and soundfile.info(part).frames == 2 * RATE


def test_stream_without_a_piece_leaves_nothing(tmp_path):
    write_pieces(tmp_path / "a.wav", [], RATE)
    with pytest.raises(KeyboardInterrupt):
        write_pieces(tmp_path / "a.wav", interrupted([]), RATE)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("write", [write_audio, write_pieces])
def test_full_disk_is_a_sentence(suffix, write, tmp_path):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"before")
    noise = np.random.default_rng(0).uniform(-0.9, 0.9, (3, 2 * RATE)).astype(np.float32)
    with file_size_limit(8000), pytest.raises(CosyError, match="Cannot write .*: (File too large|its end is missing)"):
        write(path, noise if write is write_pieces else noise.ravel(), RATE)
    assert path.read_bytes() == b"before"
    left = {entry.name for entry in tmp_path.iterdir()} - {path.name}
    assert left == ({f"a.part.{suffix}"} if write is write_pieces else set())
    if left and suffix == "wav":
        assert soundfile.info(tmp_path / left.pop()).frames == (8000 - 44) // 2


@pytest.mark.parametrize("umask", [0o077, 0o002])
@pytest.mark.parametrize("write", [write_audio, write_pieces])
def test_umask_is_obeyed(write, umask, tmp_path):
    before = os.umask(umask)
    try:
        write(tmp_path / "a.wav", TONE if write is write_audio else PIECES, RATE)
    finally:
        os.umask(before)
    assert (tmp_path / "a.wav").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("write", [write_audio, write_pieces])
def test_longest_name_there_is(write, tmp_path):
    path = tmp_path / ("ü" * 125 + "a.wav")
    assert len(path.name.encode()) == 255
    write(path, TONE if write is write_audio else PIECES, RATE)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_name_that_is_no_text(tmp_path):
    path = tmp_path / os.fsdecode(b"\xff.flac")
    write_pieces(path, PIECES, RATE)
    assert [os.fsencode(entry.name) for entry in tmp_path.iterdir()] == [b"\xff.flac"]


def test_unknown_suffix_is_refused(tmp_path):
    with pytest.raises(CosyError, match="Unknown audio suffix '.aac' of a.aac: use one of .wav, .flac"):
        write_audio(tmp_path / "a.aac", TONE, RATE)
    assert not list(tmp_path.iterdir())
