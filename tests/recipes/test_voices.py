"""Which recording a saved voice is of, and the voices themselves."""

import json

import pytest

from cosy_jax.checkpoint.integrity import verify_digests
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voices import list_voices, weights_voices
from recipes.embedded_voice import voices
from recipes.embedded_voice.speakers import BASE
from tests.conftest import TINY
from tests.reference import REPOSITORY
from tests.saved import bringing


def entry(key, phonemes, length=70, pause=False, speaker="slt"):
    """A line of the manifest, of `length` tokens of that many phonemes between silences."""
    labels = [6 * (1 + index % phonemes) for index in range(length - 2)]
    if pause:
        labels[length // 2] = 0
    return {"key": key, "text": f"Text of {key}.", "wav": f"{key}.flac", "speaker": speaker, "labels": [0, *labels, 1]}


def test_the_richest_then_the_longest_without_a_pause():
    entries = [
        entry("short", 40, length=59),
        entry("long", 40, length=81),
        entry("pause", 40, pause=True),
        entry("other", 40, speaker="rms"),
        entry("b", 30),
        entry("a", 30),
        entry("poor", 29, length=80),
    ]
    assert voices.choose(entries, "slt")["key"] == "a"
    assert voices.choose([*entries, entry("z", 30, length=80)], "slt")["key"] == "z"
    with pytest.raises(CosyError, match="kal16 has no recording of 2.4 to 3.2 s without a pause"):
        voices.choose(entries, "kal16")


def test_no_manifest(tmp_path):
    with pytest.raises(CosyError, match="There is no manifest"):
        voices.save_voices(tmp_path / "manifest.jsonl", TINY)


@pytest.mark.slow
def test_four_voices_are_brought(tmp_path):
    weights = bringing(tmp_path / "model")
    wav = str(REPOSITORY / "tests" / "data" / "prompt_1.flac")
    lines = [entry(f"0_{speaker.name}", 20, speaker=speaker.name) | {"wav": wav} for speaker in BASE]
    (tmp_path / "manifest.jsonl").write_text("\n".join(map(json.dumps, lines)))
    for _ in range(2):  # the second time over those of the first
        voices.save_voices(tmp_path / "manifest.jsonl", weights)
    found = {info.name: info.transcript for info in list_voices(weights_voices(weights))}
    assert found == {speaker.name: f"Text of 0_{speaker.name}." for speaker in BASE}
    assert len([name for name in verify_digests(weights) if name.startswith("voices/")]) == 4
