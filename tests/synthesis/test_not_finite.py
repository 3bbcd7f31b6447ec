"""What is no number is never written: an utterance that comes to it is an error, alone, in a batch and in a stream."""

import threading
from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.batch.manifest import Line
from cosy_jax.batch.pipeline import Settings, run_batch
from cosy_jax.batch.stats import Stats
from cosy_jax.cli import main
from cosy_jax.errors import CosyError
from cosy_jax.llm.continuous import Batching
from cosy_jax.parity.run import run_parity
from cosy_jax.synthesis.request import Request, StreamOptions
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voices import save_voice
from tests.conftest import TINY
from tests.reference import REPOSITORY

DATA = REPOSITORY / "tests" / "data"
MESSAGE = "The {} gave NaN or infinite values: speak in another voice, compute in float32"


@pytest.fixture(scope="module")
def voice(synthesizer):
    return synthesizer.voice(DATA / "prompt_1.flac", "Some words.")


def loud(voice):
    """The same with a mel of finite numbers whose sums are none."""
    return replace(voice, prompt=replace(voice.prompt, mel=np.full_like(voice.prompt.mel, 3.4e38)))


@pytest.fixture
def broken():
    """The tiny model, a vocoder's kernel of which has lost its numbers."""
    model = Synthesizer(TINY, llm="base")
    kernel = model.params("vocoder")["conv_post"]["kernel"]
    model.params("vocoder")["conv_post"]["kernel"] = kernel.at[0, 0, 0].set(jnp.nan)
    return model


@pytest.mark.slow
def test_speech_of_no_numbers_is_an_error(synthesizer, broken, voice):
    with pytest.raises(CosyError, match=MESSAGE.format("flow")):
        synthesizer.speak(Request("Good morning.", loud(voice)))
    with pytest.raises(CosyError, match=MESSAGE.format("vocoder")):
        broken.speak(Request("Good morning.", voice))
    with pytest.raises(CosyError, match=MESSAGE.format("vocoder")):
        broken.convert_voice(DATA / "prompt_1.flac", voice)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["cached", "exact"])
def test_so_is_a_stream_of_them(synthesizer, broken, voice, solver):
    options = StreamOptions(solver)
    with pytest.raises(CosyError, match=MESSAGE.format("flow")):
        list(synthesizer.stream(Request("Good morning.", loud(voice)), options))
    with pytest.raises(CosyError, match=MESSAGE.format("vocoder")):
        list(broken.stream(Request("Good morning.", voice), options))


@pytest.mark.slow
def test_in_a_batch_only_that_line_fails(synthesizer, voice, tmp_path):
    for name, each in (("good", voice), ("loud", loud(voice))):
        save_voice(tmp_path, name, each, synthesizer.config)
    speaker = Synthesizer(TINY, llm="base", voices=tmp_path)
    requests = [Request("Good morning.", name) for name in ("good", "loud", "good", "good")]
    lines = [Line(number, str(number), request, f"{number}.wav") for number, request in enumerate(requests)]
    finished = []
    settings = Settings(Batching(rows=4, block=16), flow_rows=4)
    run_batch(speaker, iter(lines), finished.append, settings, Stats(), threading.Event())
    errors = {each.outcome.line.key: each.outcome.error for each in finished}
    assert {key for key, error in errors.items() if error} == {"1"} and MESSAGE.format("flow") in errors["1"]


@pytest.mark.slow
def test_the_command_leaves_no_file(synthesizer, voice, tmp_path, capsys):
    save_voice(tmp_path / "voices", "loud", loud(voice), synthesizer.config)
    words = ["synthesize", "--weights", TINY, "--text", "Hello.", "--voice", "loud", "--voices", tmp_path / "voices"]
    for more in ([], ["--stream"]):
        out = tmp_path / "a.wav"
        assert main([*map(str, [*words, "--out", out, "--compile-cache", "off"]), *more]) == 2
        assert "The flow gave NaN or infinite values" in capsys.readouterr().err
        assert not out.exists()


def test_parity_counts_it_as_missed(broken, tmp_path):
    """Not as bad input: whoever looks for the fault in a port wants the other rows too."""
    name = "end_to_end.safetensors"
    (tmp_path / name).write_bytes((DATA / "dumps" / name).read_bytes())
    ((dump, checks),) = run_parity(broken, tmp_path)
    assert dump == "end_to_end" and not any(check.ok for check in checks)
    assert "The vocoder gave NaN" in checks[0].note
