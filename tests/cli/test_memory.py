"""What one utterance takes of memory: of the weights, one stage at a time, and that once."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from cosy_jax.conversions.random_weights import SIZES, write_random_model
from cosy_jax.conversions.tokenizer_files import write_byte_tokenizer
from tests.cli.test_synthesize import arguments
from tests.reference import REPOSITORY

TINY = SIZES["tiny"]
VOCABULARY = 2**20  # the most that a configuration may have


def peak(*words):
    """Bytes that the command has in memory at most."""
    process = subprocess.Popen(
        [sys.executable, "-m", "cosy_jax", *map(str, words)],
        cwd=REPOSITORY,
        env={**os.environ, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return 1024 * usage.ru_maxrss


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "int8"])
def test_weights_are_in_memory_one_stage_at_a_time(tmp_path, dtype):
    tables = {
        "llm": replace(TINY.llm, text_vocab_size=VOCABULARY),
        "flow": replace(TINY.flow, token_vocab_size=VOCABULARY),
    }
    sizes = [4 * VOCABULARY * width for width in (TINY.llm.hidden_size, TINY.flow.mel_bands)]
    peaks = []
    for config in (TINY, replace(TINY, **tables)):
        weights = tmp_path / f"weights-{len(peaks)}"
        list(write_random_model(weights, config, 0, "float32", write_byte_tokenizer))
        peaks.append(peak(*arguments(tmp_path / "a.wav", weights=weights, dtype=dtype)))
    kept = max(sizes) * (1 if dtype == "float32" else 0.5)
    assert peaks[1] - peaks[0] < 1.2 * kept
