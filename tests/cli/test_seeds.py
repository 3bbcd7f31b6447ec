"""A seed beyond 64 bits is one sentence at every entry, before anything is loaded or written."""

import json

import pytest

from cosy_jax.batch.manifest import BadLine, read_manifest
from cosy_jax.cli import main
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.request import Request
from tests.conftest import TINY
from tests.reference import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"
VOICE = ["--prompt-wav", str(RECORDING), "--prompt-text", "Some words."]
SEEDS = [2**62 + 1, 2**64, -(2**70), 10**30]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("command", ["synthesize", "stream", "tokens"])
def test_the_commands(tmp_path, capsys, command, seed):
    out = ["--out", str(tmp_path / "a.wav")]
    more = {"synthesize": ["synthesize", *out], "stream": ["synthesize", *out, "--stream"], "tokens": ["tokens"]}
    assert main([*more[command], "--weights", str(TINY), "--text", "Hello.", *VOICE, "--seed", str(seed)]) == 2
    assert "--seed: The seed is too large" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("seed", SEEDS)
def test_a_manifest_and_python(tmp_path, seed):
    path = tmp_path / "manifest.jsonl"
    path.write_text(json.dumps({"key": "a", "text": "Hello.", "voice": "ann", "seed": seed}))
    (line,) = read_manifest(path)
    assert isinstance(line, BadLine) and line.error.startswith("seed: The seed is too large")
    with pytest.raises(CosyError, match="too large"):
        Request("Hello.", "ann", seed=seed)
