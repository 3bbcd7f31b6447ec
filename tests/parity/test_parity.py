"""The parity checks hold, and fail where they should."""

import json
from fnmatch import fnmatch

import numpy as np
import pytest

from cosy_jax.cli import main
from cosy_jax.conversions.convert import convert
from cosy_jax.errors import CosyError
from cosy_jax.parity import check
from cosy_jax.parity.run import CHECKS, not_covered, run_parity
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY
from tests.reference import REPOSITORY, reference_dir, requires_reference

DUMPS = REPOSITORY / "tests" / "data" / "dumps"


def missed(results):
    return [f"{dump}: {row.name} {row.max_abs}" for dump, rows in results for row in rows if not row.ok]


@pytest.mark.slow
def test_committed_dumps_hold(synthesizer):
    results = list(run_parity(synthesizer, DUMPS))
    assert len(results) == 14 and sum(len(rows) for _, rows in results) > 30
    assert not missed(results)


@pytest.mark.slow
@requires_reference
def test_converted_reference_holds_on_every_dump(tmp_path):
    folder = reference_dir()
    convert(folder / "model", tmp_path / "weights")
    results = list(run_parity(Synthesizer(tmp_path / "weights", llm="base"), folder / "dumps"))
    assert not missed(results)
    assert not not_covered(folder / "dumps")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "path", "dump"),
    [
        ("llm", ("backbone", "layers_1", "attention", "key", "kernel"), "llm.safetensors"),
        ("flow", ("dit", "blocks_2", "feed_forward", "linear1", "kernel"), "flow_offline.safetensors"),
        ("vocoder", ("f0_predictor", "conv_3", "kernel"), "hift_offline.safetensors"),
        ("speaker_encoder", ("block2_3", "local", "kernel"), "campplus.safetensors"),
        ("speech_tokenizer", ("blocks_0", "attention", "memory", "kernel"), "speech_tokenizer.safetensors"),
    ],
)
def test_one_perturbed_kernel_is_noticed(stage, path, dump):
    broken = Synthesizer(TINY, llm="base")
    node = broken.params(stage)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = node[path[-1]] * 1.05
    check_dump = next(check for pattern, check in CHECKS.items() if fnmatch(dump, pattern))
    assert any(not row.ok for row in check_dump(broken, DUMPS / dump))


def test_command_prints_json_and_fails_for_a_missed_limit(tmp_path, capsys):
    (tmp_path / "dumps").mkdir()
    dump = json.loads((DUMPS / "tokenizer.json").read_text())
    (tmp_path / "dumps" / "tokenizer.json").write_text(json.dumps(dump))
    (tmp_path / "dumps" / "other.json").write_text("{}")
    arguments = ["parity", "--weights", str(TINY), "--dumps", str(tmp_path / "dumps"), "--compile-cache", "off"]
    assert main([*arguments, "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"] and report["not_covered"] == ["other.json"]

    dump["cases"][0]["ids"][0] += 1
    (tmp_path / "dumps" / "tokenizer.json").write_text(json.dumps(dump))
    assert main(arguments) == 1
    assert "MISSED" in capsys.readouterr().out


def test_folder_without_dumps(synthesizer, tmp_path):
    with pytest.raises(CosyError, match="holds no dump"):
        list(run_parity(synthesizer, tmp_path))
    with pytest.raises(CosyError, match="No such folder"):
        list(run_parity(synthesizer, tmp_path / "absent"))


def test_limits():
    a = np.asarray([1.0, 2.0])
    assert check.within("x", a + 1e-6, a, 1e-5).ok
    assert not check.within("x", a + 1e-4, a, 1e-5).ok
    assert not check.within("x", np.asarray([np.nan, 2.0]), a, 1.0).ok
    assert not check.within("x", a[:1], a, 1.0).ok
    assert check.equal("x", a, a).ok and not check.equal("x", a, a + 1).ok
    assert check.snr_at_least("x", a * 1.0001, a, 70).ok and not check.snr_at_least("x", a * 1.01, a, 70).ok
    assert isinstance(check.snr_db(a, a), float) and check.snr_db(a, a) == float("inf")
