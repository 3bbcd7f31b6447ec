"""float64 as the judge of a check, and the table of how near both runs are to it."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from cosy_jax.nn.precision import BFLOAT16
from cosy_jax.parity.check import equal, judge, snr_at_least, within
from cosy_jax.parity.checks.flow import check_flow
from cosy_jax.parity.checks.llm import check_llm
from cosy_jax.parity.report.truth import truth_table
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.reference import REPOSITORY

DUMPS = REPOSITORY / "tests" / "data" / "dumps"

_TRUTH = np.linspace(-1, 1, 101)
_NOISE = np.random.default_rng(0).standard_normal(101)


def _judged(ours: float, theirs: float, limit: float, fixed=within):
    return judge("x", _TRUTH + ours * _NOISE, _TRUTH + theirs * _NOISE, _TRUTH, fixed, limit)


@pytest.mark.parametrize(
    ("ours", "theirs", "limit", "ok"),
    [
        (1e-4, 1e-4, 1e-2, True),
        (1.48e-4, 1e-4, 1e-2, True),
        (1.52e-4, 1e-4, 1e-2, False),  # within the limit, but too far behind the reference
        (1e-4, 1e-4, 1e-5, True),  # the reference misses the limit itself
        (1.52e-4, 1e-4, 1e-5, False),
        (1.2e-5, 0.9e-5, 2.4e-5, False),  # the reference's largest error is 2.2 times 0.9e-5, ours 2.7e-5
        (1e-7, 1e-9, 1e-2, True),  # nobody is asked for less than rounding
        (4e-7, 1e-9, 1e-2, False),
        (np.nan, 1e-4, 1e-2, False),
    ],
)
def test_error_is_measured_by_the_references_own(ours, theirs, limit, ok):
    assert _judged(ours, theirs, limit).ok is ok


def test_one_wrong_value_does_not_hide_in_the_mean():
    noise = np.tile(_NOISE, 100)
    truth, wrong = np.tile(_TRUTH, 100), 1e-4 * noise
    wrong[17] = 1e-3
    assert np.sqrt(np.mean(wrong**2)) < 1.1e-4
    assert not judge("x", truth + wrong, truth + 1e-4 * noise, truth, within, 1e-5).ok


def test_figures_of_both_runs_are_kept():
    check = _judged(2e-4, 1e-4, 70.0, snr_at_least)
    assert not check.ok and check.ratio == pytest.approx(2)
    assert check.max_abs == pytest.approx(2 * check.reference_max_abs)
    assert check.reference_snr_db - check.snr_db == pytest.approx(20 * np.log10(2))


def test_without_truth_the_fixed_limit_decides():
    theirs = _TRUTH.astype(np.float32)
    assert judge("x", theirs + 1e-3, theirs, None, within, 1e-2).ok
    assert not judge("x", theirs + 1e-3, theirs, None, within, 1e-4).ok
    assert judge("x", theirs, theirs, None, within, 1e-4).ratio is None


def test_without_truth_half_precision_is_not_judged():
    theirs = _TRUTH.astype(np.float32)
    check = judge("x", theirs + 1e-3, theirs, None, within, 1e-4, exact=False)
    assert check.ok and check.max_abs > 1e-4 and check.limit == "none: not float32"
    assert not judge("x", _TRUTH + 2e-3 * _NOISE, _TRUTH + 1e-3 * _NOISE, _TRUTH, within, 1e-4, exact=False).ok
    assert not judge("x", theirs[1:], theirs, None, within, 1e-4, exact=False).ok


def test_other_shapes_miss():
    assert not judge("x", _TRUTH[1:], _TRUTH, _TRUTH, within, 1).ok
    assert not judge("x", _TRUTH, _TRUTH[1:], _TRUTH, within, 1).ok


def test_ids_in_half_precision_are_counted_only():
    ids = np.arange(5)
    assert not equal("ids", ids, ids[::-1]).ok
    counted = equal("ids", ids, ids[::-1], exact=False)
    assert counted.ok and counted.note == "1 of 5 equal"


def _with_truth(folder: Path, name: str, own_error: float, **metadata: str) -> Path:
    """A committed dump whose float tensors get a truth from which they differ by `own_error` of their size."""
    rng, path = np.random.default_rng(1), folder / name
    shutil.copy(DUMPS / name, path)
    dump = load_file(path)
    with safe_open(path, "numpy") as file:
        metadata = {**file.metadata(), **metadata}
    for key in ("greedy_logits", "mel"):
        if key in dump:
            values = dump[key].astype(np.float64)
            dump[f"{key}_f64"] = values + own_error * np.sqrt(np.mean(values**2)) * rng.standard_normal(values.shape)
    save_file(dump, path, metadata)
    return path


def _named(checks, name: str):
    return next(check for check in checks if check.name == f"{name}, to float64")


def test_a_slightly_wrong_flow_is_missed_by_its_ratio_alone(synthesizer, tmp_path):
    path = _with_truth(tmp_path, "flow_offline.safetensors", 5e-7)
    assert _named(check_flow(synthesizer, path), "mel").ok
    broken = Synthesizer(synthesizer.weights, llm="base")
    dit = broken.params("flow")["dit"]
    dit["output_projection"] = {name: value * 1.0000015 for name, value in dit["output_projection"].items()}
    check = _named(check_flow(broken, path), "mel")
    assert check.max_abs < 1e-5, "the fixed limit would let it pass"
    assert not check.ok and check.ratio > 1.5


@pytest.mark.slow
def test_a_half_precision_dump_is_the_yardstick_of_a_half_precision_run(synthesizer, tmp_path):
    half = Synthesizer(synthesizer.weights, llm="base", precision=BFLOAT16)
    path = _with_truth(tmp_path, "llm.safetensors", 1e-2, dtype="bfloat16")
    check = _named(check_llm(half, path), "logits, cached decode")
    assert check.ok and check.max_abs > 1e-4
    path = _with_truth(tmp_path, "llm.safetensors", 1e-4)
    assert not _named(check_llm(half, path), "logits, cached decode").ok


def test_the_table_has_the_judged_checks(synthesizer, tmp_path):
    path = _with_truth(tmp_path, "llm.safetensors", 1e-6)
    checks = check_llm(synthesizer, path)
    header, _, *rows = truth_table([("llm", checks)]).splitlines()
    assert header.startswith("| dump | tensor | ours, max abs | reference's |")
    assert [row.split(" | ")[:2] for row in rows] == [["| llm", "logits, cached decode"]]
    ratio = float(rows[0].removesuffix(" |").split(" | ")[-1])
    assert ratio == pytest.approx(_named(checks, "logits, cached decode").ratio, abs=0.01) and 0.9 < ratio < 1.5
    assert truth_table([("llm", check_llm(synthesizer, DUMPS / "llm.safetensors"))]) == ""
