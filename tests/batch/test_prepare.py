"""Voices of lines."""

import pytest

from cosy_jax.batch.origin import Origins
from cosy_jax.batch.prepare import VoiceCache
from cosy_jax.batch.stats import Stats
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request


@pytest.mark.parametrize("name", ["n" * 300 + ".wav", "n/" * 2500 + "n.wav", "absent.wav"])
def test_a_recording_that_cannot_be_read_is_one_lines_error(synthesizer, tmp_path, name):
    request = Request("Hi.", recording=tmp_path / name, transcript="Words.")
    assert Origins(synthesizer).of(request).voice
    cache = VoiceCache(synthesizer)
    for _ in range(2):
        with pytest.raises(CosyError, match="n.wav|absent.wav"):
            cache.in_voice(request, Stats())


def test_a_voice_is_told_by_its_content(synthesizer, tmp_path):
    origins = [Origins(synthesizer) for _ in range(3)]
    paths = [tmp_path / name for name in ("a.wav", "b.wav", "c.wav")]
    for path, content in zip(paths, (b"1", b"1", b"2"), strict=True):
        path.write_bytes(content)
    one, same, other = (
        each.of(Request("Hi.", recording=path, transcript="Words.")) for each, path in zip(origins, paths, strict=True)
    )
    assert one == same and one.voice != other.voice and one.line == other.line


def test_what_is_no_file_is_not_waited_for(synthesizer):
    assert Origins(synthesizer).of(Request("Hi.", recording="/dev/zero", transcript="Words.")).voice
