"""Mutated files of a converted folder, of saved voices and of dumps."""

import json
import string

import numpy as np
import pytest

from cosy_jax.checkpoint.integrity import open_folder
from cosy_jax.checkpoint.reader import load_config
from cosy_jax.config import ModelConfig
from cosy_jax.parity import contents, dumps
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.voice import Voice, check_voice
from cosy_jax.synthesis.voices import inspect_voice, list_voices, load_voice, save_voice
from tests.conftest import TINY
from tests.fuzz.harness import FUZZED, INPUTS, ODD, damaged, framed, fuzz, some_header, with_odd_values

pytestmark = FUZZED

CONFIG = load_config(TINY)
BYTES = [
    *(b"\0", b"\xff", b"\0" * 8, b"\xff" * 8, b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\ud800", b"NaN", b"1e999"),
    *(b"9" * 5000, b"[" * 20_000, b'{"a":' * 20_000, b"\xef\xbb\xbf", b"\x1b[31m", b"x" * 100_000),
]
SIZES = [*ODD, 2, 3, 8, 63, 64, 65, 1000, 24000, 10**8, -24000, [1, 2], [2] * 100, ["2"], 1e-7, "2"]


def test_config_of_a_converted_folder(tmp_path, capsys):
    sound = json.loads((TINY / "config.json").read_text())
    path = tmp_path / "config.json"

    def mutated(dice):
        changed = with_odd_values(sound, dice, dice.choice((0, 0.002, 0.02)), SIZES)
        text = json.dumps(changed, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return damaged(text, dice, BYTES, (0, 0, 0, 1, 3))

    def read(content):
        path.write_bytes(content)
        assert isinstance(open_folder(tmp_path), ModelConfig)
        return ["read"]

    counts = fuzz("config.json", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


def test_voices(tmp_path, capsys):
    path = tmp_path / "ann.safetensors"
    tokens, bands = 3, CONFIG.flow.mel_bands
    prompt = Prompt(
        np.arange(tokens, dtype=np.int32),
        np.zeros((2 * tokens, bands), np.float32),
        np.ones(CONFIG.flow.speaker_dim, np.float32),
    )
    save_voice(tmp_path, "ann", Voice(prompt, "Some words.", "0" * 64), CONFIG)
    metadata = {"format": "cosy_jax voice", "version": "1", "transcript": "Hi.", "seconds": "1", "source": "a.wav"}
    tensors = {
        "speech_tokens": ("I32", (tokens,)),
        "mel": ("F32", (2 * tokens, bands)),
        "speaker_embedding": ("F32", (CONFIG.flow.speaker_dim,)),
    }

    def mutated(dice):
        header, data = some_header(dice, tensors, metadata | {"encoders": dice.choice(("", "0" * 64))})
        return damaged(framed(header, data), dice, BYTES)

    def read(content):
        path.write_bytes(content)
        assert [info.path for info in list_voices(tmp_path)] == [path]
        inspect_voice(tmp_path, "ann")
        voice = load_voice(tmp_path, "ann")
        check_voice(voice, CONFIG, "0" * 64)
        assert len(voice.prompt.mel) == 2 * len(voice.prompt.speech_tokens)
        return ["read"]

    counts = fuzz("voice", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


NAMES = [pattern.replace("[0-9]*", "1").replace("*", "0") for pattern in contents.TENSORS] + ["trace_flow.safetensors"]
TYPES = {"float": "F32", "bool": "BOOL", "int": "I64", "text": "I32", "speech": "I64", "id": "I32"}
RUN = {"inputs": "flow_0.safetensors", "streaming": "True", "steps": "10"}


def some_tensors(name, dice):
    """Tensors of the file as `contents` has them, some axes shorter or longer."""
    kinds = dict(
        contents.TENSORS.get(dict(zip(NAMES, contents.TENSORS, strict=False)).get(name, ""), {"a": "float * * *"})
    )
    lengths = {
        axis: dice.randint(0, 3) if dice.random() < 0.1 else dice.randint(1, 3) for axis in f"{string.ascii_lowercase}*"
    }
    lengths |= {**contents.sizes(CONFIG), "rl": CONFIG.flow.token_mel_ratio * lengths["l"]}
    tensors = {}
    for glob, words in kinds.items():
        kind, *axes = words.split()
        shape = [int(axis) if axis.isdigit() else lengths[axis] for axis in axes]
        if dice.random() < 0.01:
            shape = dice.choice(([], [0], [1, *shape], shape[1:], [1] * 40, [2 * size for size in shape]))
        if dice.random() < 0.9:
            tensors[glob.replace("[0-9]*", "0")] = (TYPES[kind], tuple(shape))
    return tensors


def test_dumps(tmp_path, capsys):
    names = iter(())

    def mutated(dice):
        nonlocal names
        name = dice.choice(NAMES)
        names = iter((name,))
        metadata = with_odd_values(RUN, dice, 0.1, ["", "False", "-1", "9" * 5000, "../a.safetensors", "x\x1b"])
        header, data = some_header(dice, some_tensors(name, dice), metadata if isinstance(metadata, dict) else None)
        return damaged(framed(header, data), dice, BYTES)

    def read(content):
        path = tmp_path / next(names)
        path.write_bytes(content)
        dump = dumps.read_dump(path, CONFIG)
        found = [(path, "steps", 10), (path, "inputs")]
        dumps.read_count(*found[0])
        assert all(len(dumps.read_shape(path, name)) == dump[name].ndim for name in dump if dump[name].ndim)
        dumps.read_flag(path, "streaming")
        assert dumps.inputs_of(path).parent == tmp_path
        return ["read"]

    counts = fuzz("dump", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


CASES = {
    "text_frontend.json": {"cases": [{"text": "One. Two.", "split": ["One.", "Two."], "joined": "One. Two."}] * 2},
    "tokenizer.json": {"cases": [{"text": "One.", "ids": [1, 2]}], "endofprompt_id": 5},
    "llm_bistream.json": {
        "cases": {
            "a": {
                "prompt_text": [1],
                "prompt_speech_token": [2, 3],
                "text_pieces": [[4], [5, 6]],
                "stop_at_call": 7,
                "speech_tokens": [8],
            }
        }
    },
}


@pytest.mark.parametrize("name", CASES)
def test_cases_of_dumps(tmp_path, capsys, name):
    path = tmp_path / name

    def mutated(dice):
        changed = with_odd_values(CASES[name], dice, dice.choice((0, 0.02, 0.1)))
        text = json.dumps(changed, ensure_ascii=dice.random() < 0.5).encode("utf-8", "surrogatepass")
        return damaged(text, dice, BYTES)

    def read(content):
        path.write_bytes(content)
        json.dumps(dumps.read_cases(path)["cases"], ensure_ascii=False).encode()
        return ["read"]

    counts = fuzz(name, mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20
