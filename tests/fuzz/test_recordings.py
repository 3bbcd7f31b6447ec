"""Mutated recordings of every kind that is read."""

import io

import numpy as np
import pytest
import soundfile

from cosy_jax.audio.read import MAX_RATE, MIN_RATE
from cosy_jax.audio.usable import SHORTEST_VOICE, load_speech
from tests.fuzz.harness import FUZZED, INPUTS, damaged, fuzz

pytestmark = FUZZED

RATE = 16000
KINDS = {
    "wav": [
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("WAV", "ULAW"),
        ("WAV", "MS_ADPCM"),
        ("WAVEX", "PCM_24"),
        ("RF64", "PCM_16"),
    ],
    "flac": [("FLAC", "PCM_16"), ("FLAC", "PCM_24")],
    "others": [
        ("MP3", "MPEG_LAYER_III"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("AIFF", "PCM_16"),
        ("AU", "PCM_16"),
        ("CAF", "PCM_16"),
        ("W64", "PCM_16"),
        ("CAF", "ALAC_16"),
    ],
}
BYTES = [
    *(
        b"\0",
        b"\xff",
        b"\0" * 4,
        b"\xff" * 4,
        b"\xff" * 8,
        b"\0\0\0\x80",
        b"\xff\xff\xff\x7f",
        b"\1\0\0\0",
        b"\0\0\x80\x7f",
    ),
    *(
        b"RIFF",
        b"WAVE",
        b"fmt ",
        b"data",
        b"LIST",
        b"RF64",
        b"ds64",
        b"fLaC",
        b"OggS",
        b"ID3\4",
        b"FORM",
        b"COMM",
        b"SSND",
    ),
    *(b"\xff\xfb\x90\x44", b"\xff\xf8\xc9\x18", b"\x80\x3e\0\0", b"\x10\0\x10\0", b"x" * 10_000, b"\0" * 10_000),
    *((rate).to_bytes(4, "little") for rate in (1, 384_001, 2**31)),
]


@pytest.mark.parametrize("kind", KINDS)
def test_recordings(tmp_path, capfd, kind):
    path = tmp_path / ("a.wav" if kind == "others" else f"a.{kind}")
    sounds = []
    for name, subtype in KINDS[kind]:
        for channels in (1, 2):
            times = np.arange(round(0.6 * RATE)) / RATE
            samples = 0.3 * np.sin(880 * times)[:, None].repeat(channels, axis=1)
            buffer = io.BytesIO()
            soundfile.write(buffer, samples, RATE, subtype, format=name)
            sounds.append(buffer.getvalue())

    def mutated(dice):
        sound = dice.choice(sounds)
        start = dice.choice((0, 60, 200, len(sound)))  # most of a file is samples, which may be anything
        return damaged(sound[:start], dice, BYTES, (0, 1, 1, 2)) + damaged(sound[start:], dice, BYTES, (0, 0, 1, 2))

    def read(content):
        path.write_bytes(content)
        try:
            samples, rate = load_speech(path, "The recording", SHORTEST_VOICE)
        finally:
            capfd.readouterr()  # the decoder of MP3 complains there
        assert (samples.dtype, samples.ndim) == (np.float32, 1) and np.isfinite(samples).all()
        assert MIN_RATE <= rate <= MAX_RATE
        return ["read"]

    counts = fuzz(kind, mutated, read, capfd)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20
