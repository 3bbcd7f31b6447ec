"""The token report: the exact lines, and the same ids as `synthesize` and as the record."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cosy_jax.cli import main
from cosy_jax.config import LLMConfig
from cosy_jax.conversions.capture.report import Segment as Captured
from cosy_jax.conversions.capture.report import token_lines
from cosy_jax.llm.silence import cap_silence
from cosy_jax.llm.stream import Draw, draws
from cosy_jax.parity.report.tokens import PromptSize, as_segment, report_lines, report_text
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.voice import Voice
from tests.conftest import TINY
from tests.reference import REPOSITORY

DUMPS = REPOSITORY / "tests" / "data" / "dumps"
RECORDING = REPOSITORY / "tests" / "data" / "prompt_1.flac"
TEXT = "Could you tell me how to get to the railway station from here?"
LONG = " ".join([TEXT] * 14)
RANDOM = np.random.default_rng(0)
VOICE = Voice(
    Prompt(
        RANDOM.integers(0, 6561, 12).astype(np.int32),
        RANDOM.normal(-4, 2, (24, 80)).astype(np.float32),
        RANDOM.standard_normal(192).astype(np.float32),
    ),
    "Some words.",
)


def command(*words):
    return main(["tokens", "--weights", str(TINY), "--compile-cache", "off", *map(str, words)])


def test_lines():
    drawn = [Draw(5100, False), Draw(3410, True), Draw(4100, False), Draw(6562, True), Draw(7, False)]
    stopped = as_segment(14, drawn, (28, 280), 6561)
    bounded = as_segment(2, drawn[:3:2], (0, 2), 6561)
    cut_short = as_segment(1, drawn[:1], (0, 20), 6561)
    assert list(report_lines(PromptSize(39, 106, 212), [stopped, bounded, cut_short])) == [
        "prompt: 39 text tokens, 106 speech tokens, 212 mel frames",
        "segment 1: 14 text tokens, 3 speech tokens, bounds 28 to 280, stopped by 6562 at step 3, "
        "repetition fallbacks 2 at steps 1 3",
        "segment 1 ids: 5100 3410 4100",
        "segment 2: 2 text tokens, 2 speech tokens, bounds 0 to 2, stopped by the bound at step 2, "
        "repetition fallbacks 0",
        "segment 2 ids: 5100 4100",
        "segment 3: 1 text tokens, 1 speech tokens, bounds 0 to 20, stopped by the end of the record at step 1, "
        "repetition fallbacks 0",
        "segment 3 ids: 5100",
        "all: 3 segments, 17 text tokens, 6 speech tokens, 2 repetition fallbacks",
    ]


@pytest.mark.parametrize(("ids", "fallbacks"), [([5, 6, 6562], [0, 2]), ([5, 6, 7], []), ([6700], [0]), ([6562], [])])
def test_capture_writes_the_same_lines(ids, fallbacks):
    theirs = token_lines(39, 40, 80, [Captured(14, ids, (2, 3), fallbacks)] * 2)
    ours = as_segment(14, [Draw(i, step in fallbacks) for step, i in enumerate(ids)], (2, 3), 6561)
    assert list(report_lines(PromptSize(39, 40, 80), [ours, ours])) == theirs


def recorded(dump, number, least, most):
    """The two lines of a recorded run that no stop id ended."""
    steps = np.flatnonzero(dump["fallback"])
    return [
        f"segment {number}: {len(dump['tts_text'])} text tokens, {len(dump['sampled_tokens'])} speech tokens, "
        f"bounds {least} to {most}, stopped by the bound at step {len(dump['sampled_tokens'])}, "
        f"repetition fallbacks {len(steps)} at steps {' '.join(map(str, steps))}",
        f"segment {number} ids: {' '.join(map(str, dump['sampled_tokens']))}",
    ]


def test_recorded_run_prints_what_was_recorded(capsys):
    assert command("--dumps", DUMPS) == 0
    dump = load_file(DUMPS / "llm.safetensors")
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        "prompt: 39 text tokens, 40 speech tokens, 212 mel frames",
        *recorded(dump, 1, 8, 60),
        "all: 1 segments, 14 text tokens, 60 speech tokens, 6 repetition fallbacks",
    ]
    assert printed.err == "language model: base\n"


def test_recorded_bounds_and_further_segments(tmp_path, capsys):
    """A fourth file without a third is no segment."""
    dump = load_file(DUMPS / "llm.safetensors")
    save_file(dump, tmp_path / "llm.safetensors", {"min_len": "7", "max_len": "60"})
    save_file(dump, tmp_path / "llm_2.safetensors", {"min_len": "8", "max_len": "280"})
    save_file(dump, tmp_path / "llm_4.safetensors")
    assert command("--dumps", tmp_path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "prompt: 39 text tokens, 40 speech tokens, 80 mel frames"
    assert lines[1:3] == recorded(dump, 1, 7, 60)
    second = recorded(dump, 2, 8, 280)
    assert lines[3:5] == [second[0].replace("the bound", "the end of the record"), second[1]]
    assert lines[5:] == ["all: 2 segments, 28 text tokens, 120 speech tokens, 12 repetition fallbacks"]


def test_another_model_draws_other_ids(synthesizer, tmp_path, capsys):
    dump = load_file(DUMPS / "llm.safetensors")
    dump["noise_nucleus"] = dump["noise_nucleus"][:, ::-1].copy()
    save_file(dump, tmp_path / "llm.safetensors")
    assert command("--dumps", tmp_path) == 0
    assert recorded(dump, 1, 8, 60)[1] not in capsys.readouterr().out.splitlines()


@pytest.mark.slow
def test_text_prints_what_synthesize_draws(synthesizer):
    request = Request(LONG, VOICE, seed=5)
    lines = list(report_text(synthesizer, request))
    contexts = synthesizer.contexts(request)
    decoded = [synthesizer.decode(context, synthesizer.policy()) for context in contexts]
    assert len(contexts) > 1 and len(lines) == 2 + 2 * len(contexts)
    before = len(synthesizer.tokenizer.encode("You are a helpful assistant.<|endofprompt|>Some words."))
    assert lines[0] == f"prompt: {before} text tokens, 12 speech tokens, 24 mel frames"
    for number, (context, (tokens, fallbacks)) in enumerate(zip(contexts, decoded, strict=True), 1):
        text = len(context.row.ids) - 2 - before - 12
        head, ids = lines[2 * number - 1 : 2 * number + 1]
        assert head.startswith(f"segment {number}: {text} text tokens, ")
        assert f"bounds {2 * text} to {20 * text}, " in head
        assert head.partition(" at steps")[0].endswith(f"repetition fallbacks {fallbacks}")
        drawn = [int(i) for i in ids.removeprefix(f"segment {number} ids: ").split()]
        assert cap_silence(drawn, LLMConfig().silent_ids) == tokens.tolist() and f"{len(drawn)} speech tokens" in head
    assert sum(fallbacks for _, fallbacks in decoded) > 0


@pytest.mark.slow
def test_every_draw_is_told_with_the_id_that_stops(synthesizer):
    config, params = synthesizer.config, synthesizer.params("llm")
    head = np.array(params["speech_head"]["kernel"])
    head[config.llm.speech_token_size :] *= 50.0
    loud = {**params, "speech_head": {"kernel": jnp.asarray(head)}}
    context = dataclasses.replace(synthesizer.contexts(Request(TEXT, VOICE))[0], min_new=6)
    drawn = list(draws(loud, context, synthesizer.policy()))
    assert 6 < len(drawn) < context.max_new and drawn[-1].id >= 6561
    assert all(draw.id < 6561 for draw in drawn[:-1])


def test_language_model_of_another_mode_is_given_no_speech(synthesizer):
    voice = dataclasses.replace(VOICE, transcript="")
    text = "Speak fast.<|endofprompt|>" + TEXT
    prompts = [
        next(report_text(synthesizer, Request(words, voice, mode=mode, instruct=instruct)))
        for words, mode, instruct in (
            (TEXT, "cross-lingual", None),
            (text, "cross-lingual", None),
            (TEXT, "instruct", "Go"),
        )
    ]
    prefix, longer = (
        len(synthesizer.tokenizer.encode(f"You are a helpful assistant.{more}<|endofprompt|>")) for more in ("", " Go")
    )
    assert prompts == [f"prompt: {count} text tokens, 0 speech tokens, 24 mel frames" for count in (prefix, 0, longer)]


@pytest.mark.slow
def test_command_prints_only_the_report(capsys):
    words = ("--text", "Good morning.", "--prompt-wav", RECORDING, "--mode", "cross-lingual", "--verbatim")
    assert command(*words) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["prompt", "segment 1", "segment 1 ids", "all"]
    assert command(*words, "--seed", 1) == 0
    assert capsys.readouterr().out.splitlines()[2] != printed[2]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "give either --text TEXT or --dumps DIR"),
        (["--text", "a", "--dumps", DUMPS], "give either --text TEXT or --dumps DIR"),
        (["--dumps", DUMPS, "--prompt-wav", RECORDING], "leave --prompt-wav out"),
        (["--dumps", DUMPS, "--prompt-text", "a"], "leave --prompt-text out"),
        (["--dumps", DUMPS.parent], "holds no llm.safetensors"),
        (["--text", "a", "--prompt-wav", RECORDING], "--prompt-text: Mode zero-shot needs what is said"),
        (["--text", "a"], "--prompt-wav or --voice: Say in which voice to speak"),
        (["--text", " ", "--prompt-wav", RECORDING], "empty"),
    ],
)
def test_bad_input(words, message, capsys):
    assert command(*words) == 2
    printed = capsys.readouterr()
    assert not printed.out and message in printed.err.splitlines()[-1]
