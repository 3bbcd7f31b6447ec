"""Mutated settings of a release: `.yaml`, and those that make no model."""

import json

import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.conversions import release_config
from cosy_jax.conversions.read_yaml import read_yaml
from cosy_jax.conversions.source import LazyTensor
from cosy_jax.conversions.write_release_config import qwen_config, release_yaml
from tests.conversions.release import CONFIG, random_params, released
from tests.fuzz.harness import FUZZED, INPUTS, damaged, fuzz, with_odd_values

pytestmark = FUZZED

LINES = [
    *(
        "a: 3",
        "b: 0.5",
        "rate: 24000",
        "name: &n words",
        "again: *n",
        "text: 'x'",
        "flag: yes",
        "e: 1e-6",
        "day: 2020-13-45",
    ),
    *("r: !ref <a> * <b>", "s: !ref <r>", "l: [1, 2, 3]", "m: {x: 1, y: [2, 3]}", "f: !name:os.system {a: !ref <m>}"),
    *(
        "llm: !new:a.B\n    width: !ref <a>\n    deep:\n        - 1\n        - {z: !ref <b>}",
        "g: !apply:os.system [ls]",
    ),
    *("o: &o {x: 1}\np: {<<: *o}", "k: &k [*k]", "? {a: 1}\n: 2", "h: 0x7f", "t: 12:30:45", "i: .inf", "j: |\n  text"),
]
MARKS = [
    *(
        b"&a ",
        b"*a ",
        b"!!int ",
        b"!!python/object:os.system ",
        b"!ref <a>*",
        b"[",
        b"]",
        b"{",
        b"}",
        b": ",
        b"- ",
        b"? ",
    ),
    *(
        b"\t",
        b"\r\n",
        b"\xff",
        b"\xef\xbb\xbf",
        b"\\U0011ffff",
        b'"',
        b"'",
        b"|\n",
        b"---\n",
        b"%YAML 9.9\n",
        b"<<: *n\n",
    ),
    *(
        b"[" * 3000,
        b"- " * 3000,
        b"9" * 5000,
        b"\x1b",
        b"!!timestamp ",
        b"!!binary ",
        b"!!set ",
        b"!!omap ",
        b"\xe2\x80\xa8",
    ),
]


def test_yaml_files(tmp_path, capsys):
    path = tmp_path / "a.yaml"

    def read(content):
        path.write_bytes(content)
        assert isinstance(read_yaml(path), dict)
        return ["read"]

    def mutated(dice):
        text = "\n".join(dice.sample(LINES, dice.randint(1, 6))) + "\n"
        return damaged(text.encode(), dice, MARKS, (0, 1, 1, 2, 5))

    counts = fuzz("yaml", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20


def test_settings_of_a_release(tmp_path, capsys, monkeypatch):
    """What stands in them may be anything; how it is spelled is above."""
    (tmp_path / "cosyvoice3.yaml").write_text(release_yaml(CONFIG))
    (tmp_path / "CosyVoice-BlankEN").mkdir()
    settings = read_yaml(tmp_path / "cosyvoice3.yaml")
    encoders = {stage: released(stage, random_params(stage)) for stage in ("speech_tokenizer", "speaker_encoder")}
    shapes = {stage: {name: list(array.shape) for name, array in arrays.items()} for stage, arrays in encoders.items()}

    def mutated(dice):
        trees = {"settings": settings, "qwen": qwen_config(CONFIG.llm)}
        changed = with_odd_values(trees, dice, dice.choice((0, 0.002, 0.02)))
        other = {stage: dict(named) for stage, named in shapes.items()}
        for _ in range(dice.choice((0, 0, 1, 2))):
            named = dice.choice(list(other.values()))
            named[dice.choice(list(named))] = dice.choices((0, 1, 3, 8, 64, 2**20), k=dice.randrange(5))
        return json.dumps([changed, other]).encode()

    def read(content):
        trees, found = json.loads(content)
        if not isinstance(trees, dict) or not isinstance(trees.get("settings"), dict):
            return ["left out"]
        monkeypatch.setattr(release_config, "read_yaml", lambda _: trees["settings"])
        (tmp_path / "CosyVoice-BlankEN" / "config.json").write_text(json.dumps(trees.get("qwen")))
        kind = np.dtype(np.float32)
        weights = [
            {name: LazyTensor(tuple(shape), kind, lambda: np.zeros(0)) for name, shape in found[stage].items()}
            for stage in encoders
        ]
        assert isinstance(release_config.read_release_config(tmp_path, *weights), ModelConfig)
        return ["read"]

    counts = fuzz("settings of a release", mutated, read, capsys)
    assert min(counts["read"], counts["refused"]) > INPUTS / 20
