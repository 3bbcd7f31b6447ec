"""What a report says and shows: from hand-made findings, and from the command."""

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from rich.console import Console
from safetensors.numpy import load_file, save_file

from cosy_jax.cli import main, parity_report
from cosy_jax.errors import CosyError
from cosy_jax.parity.check import Check
from cosy_jax.parity.locate.diagnosis import Diagnosis, Finding
from cosy_jax.parity.locate.steps import StepError
from cosy_jax.parity.locate.trace import LayerError
from cosy_jax.parity.report import plots, tables
from cosy_jax.parity.report.html import to_html
from cosy_jax.parity.report.ids import IdDifference
from cosy_jax.parity.report.outputs import Pair, worth_a_look
from cosy_jax.parity.report.report import Explanation, Report, to_json
from cosy_jax.parity.run import not_covered
from tests.conftest import TINY
from tests.reference import REPOSITORY

DUMPS = REPOSITORY / "tests" / "data" / "dumps"
NAN = float("nan")
LAYERS = [
    LayerError("language model", "layers.0", 2e-7, 1e-7),
    LayerError("flow", "input_embed", 0.0, 3e-7),
    LayerError("flow", "transformer_blocks.0.attn", 4e-2, None),
]
STEPS = [StepError(0, 0.0, 0.0, 0.0, 1e-3, 2e-3, 3e-3, 4e-3), StepError(1, 0.0123, 5e-3, 6e-3, 7e-3, 8e-3, 9e-3, NAN)]
FINDINGS = [
    Finding("flow", "transformer_blocks.0.attn", "error 4.0e-02 of the signal", "rotary on <all> heads"),
    Finding("vocoder", "conv_post", "error 1.0e-01 of the signal", ""),
]
DIFFERENCE = IdDifference("greedy", 7, 41, 52, [(41, 0.6), (52, 0.25)], [(52, 0.5)])
RESULTS = [
    ("flow_offline", [Check("mel & more", "max abs 1e-05", False, 0.0625, 1e-3, NAN)]),
    ("llm", [Check("greedy ids", "equal", True, note="24 of 24 equal")]),
]


def report(layers=LAYERS, steps=STEPS, findings=FINDINGS):
    diagnosis = Diagnosis({"trace_flow": layers}, {"flow_offline": steps}, findings)
    explanation = Explanation(diagnosis, {"llm": [DIFFERENCE]}, ["no second trace"])
    dumps = {"llm": {"torch": "2.<3>"}, "flow_offline": {"torch": "2.4", "device": "cuda"}}
    return Report(RESULTS, ["odd.json"], {"weights": "tiny"}, dumps, explanation)


def pixels(png):
    """RGB (H, W, 3) in [0, 1]."""
    return imread(io.BytesIO(png), format="png")[..., :3]


def shows(png, colour):
    return int(np.sum(np.abs(pixels(png) - np.asarray(colour)).max(axis=-1) < 0.02)) > 20


BLUE, ORANGE, RED = (0x1F, 0x77, 0xB4), (0xFF, 0x7F, 0x0E), (0xD6, 0x27, 0x28)
OURS, REFERENCE, FIRST = (np.asarray(colour) / 255 for colour in (BLUE, ORANGE, RED))


def test_layers_picture_shows_both_errors_and_the_first_finding():
    png = plots.layers_picture(LAYERS, FINDINGS[0])
    assert [shows(png, colour) for colour in (OURS, REFERENCE, FIRST)] == [True, True, True]
    png = plots.layers_picture(LAYERS[2:], FINDINGS[1])
    assert [shows(png, colour) for colour in (OURS, REFERENCE, FIRST)] == [True, False, False]


@pytest.mark.slow
def test_each_stage_and_each_dump_gets_its_panels():
    one, two = (pixels(plots.layers_picture(rows, None)).shape for rows in (LAYERS[:1], LAYERS))
    assert two[0] == 2 * one[0] and two[1] == one[1]
    one, two = (pixels(plots.steps_picture(dict.fromkeys(names, STEPS))).shape for names in ("a", "ab"))
    assert two[0] == 2 * one[0] and shows(plots.steps_picture({"a": STEPS}), OURS)


def test_pictures_of_outputs_show_where_they_differ():
    theirs = np.random.default_rng(0).standard_normal((50, 80))
    ours = theirs.copy()
    ours[25:] += 1.0
    lowest = pixels(plots.mel_picture(Pair("flow", ours, theirs)))[550:650]
    assert lowest[:, 100:450].mean() < 0.05 and lowest[:, 600:950].mean() > 0.85

    wave = theirs.ravel()
    assert shows(plots.audio_picture(Pair("hift", wave[:-9] * NAN, wave), 24000), OURS)
    assert shows(plots.mel_picture(Pair("flow", theirs[:-9] * NAN, theirs)), (1, 1, 1))


def test_layer_table_marks_the_first_finding():
    rows = tables.layers_table(LAYERS, FINDINGS).rows
    assert rows[0] == ("language model", "layers.0", "2.00e-07", "1.00e-07", "2", "")
    assert rows[2] == ("flow", "transformer_blocks.0.attn", "4.00e-02", "", "", tables.LOOK_HERE)


def test_checks_are_printed_in_80_columns(monkeypatch, capsys):
    """Every word of them, in lines that no terminal breaks."""
    monkeypatch.setattr(parity_report, "console", Console(width=80, highlight=False))
    long = Check("language model logits, padded and batched", "1.5 x reference's, max abs 0.0001", False, *[1e-6] * 3)
    long = replace(long, note="against float64: ours 80.1 dB", reference_max_abs=1e-6, reference_snr_db=58.25)
    results = [("noise_released_size", [long, Check("ids", "equal", True, note="24 of 24 equal")])]
    parity_report.print_report(Report(results, [], {}, {}, None), False, False)
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 80
    words = printed.split()
    wanted = [
        *long.name.split(),
        *long.limit.split(),
        *long.note.split(),
        "noise_released_size",
        "58.2",
        "MISSED",
        "ok",
    ]
    assert not [word for word in wanted if word not in {each.rstrip(";") for each in words}]


def test_versions_are_in_one_order():
    found = tables.provenance_table({"a": {"torch": "2", "dtype": "float32"}, "b": {"inputs": "x", "torch": "3"}})
    assert found.header == ("dump", "torch", "dtype", "inputs")
    assert list(found.rows) == [("a", "2", "float32", ""), ("b", "3", "", "x")]


def test_json_has_everything_and_no_nan():
    found = json.loads(to_json(report()), parse_constant=pytest.fail)
    assert not found["ok"] and found["not_covered"] == ["odd.json"] and found["remarks"] == ["no second trace"]
    assert found["checks"][0]["max_abs"] == 0.0625 and found["checks"][0]["snr_db"] is None
    assert found["findings"][0]["place"] == "transformer_blocks.0.attn"
    assert found["layers"]["trace_flow"][2] == LAYERS[2]._asdict()
    assert found["steps"]["flow_offline"][0] == STEPS[0]._asdict()
    assert found["id_differences"]["llm"][0]["ours_top"] == [[41, 0.6], [52, 0.25]]


def test_html_has_everything_escaped():
    page = to_html(report(), {"layers.png": b"picture", "mel.png": b"other"})
    for text in ("1 of 2 checks ok", "Look first at flow, transformer_blocks.0.attn", "6.25e-02", "layers.0", "0.0123"):
        assert text in page
    assert page.index("Look first") < page.index("<h2>Checks")
    assert "rotary on &lt;all&gt; heads" in page and "mel &amp; more" in page and "2.&lt;3&gt;" in page
    assert "<all>" not in page and "2.<3>" not in page
    assert "no second trace" in page and "odd.json" in page and "the reference&#x27;s 52" in page
    assert page.count("data:image/png;base64,") == 2 and "cGljdHVyZQ==" in page
    assert "http" not in page and "<script" not in page


def test_html_without_anything_explained():
    page = to_html(Report(RESULTS[1:], [], {}, {}, None), {})
    assert "1 of 1 checks ok" in page and "Look first" not in page and "<img" not in page


def test_picture_is_of_the_dump_that_misses(tmp_path):
    for name in ("flow_a", "flow_b", "end_to_end"):
        (tmp_path / f"{name}.safetensors").touch()
    patterns = ("flow_*.safetensors", "end_to_end.safetensors")
    missed = [("flow_b", [Check("mel", "", False)]), ("end_to_end", [Check("mel", "", False)])]
    assert worth_a_look(tmp_path, patterns, missed).stem == "flow_b"
    assert worth_a_look(tmp_path, patterns, []).stem == "flow_a"
    assert worth_a_look(tmp_path / "absent", patterns, []) is None


def test_traces_and_segments_are_covered(tmp_path):
    names = ("trace_llm.safetensors", "llm_2.safetensors", "tokens.txt", "llm_other.safetensors")
    for name in names:
        (tmp_path / name).touch()
    assert not_covered(tmp_path) == ["llm_other.safetensors"]


def parity(dumps: Path, *options):
    cache = REPOSITORY / ".pytest_cache" / "xla"
    return main(["parity", *map(str, ("--weights", TINY, "--dumps", dumps, "--compile-cache", cache, *options))])


@pytest.fixture
def broken_dumps(tmp_path):
    """A language model's dump whose greedy id of step 3 is another, and sound ones of flow and vocoder."""
    folder = tmp_path / "dumps"
    folder.mkdir()
    dump = load_file(DUMPS / "llm.safetensors")
    dump["greedy_tokens"][3] = 5
    dump["greedy_logits"][3, 5] = 50
    save_file(dump, folder / "llm.safetensors", {"torch": "2.4.0", "min_len": "8"})
    # Under its own name the flow's dump would have the padding of all stages checked too.
    for name, copy in (("flow_offline", "flow_any"), ("hift_offline", "hift_offline")):
        (folder / f"{copy}.safetensors").write_bytes((DUMPS / f"{name}.safetensors").read_bytes())
    return folder


@pytest.mark.slow
def test_command_explains_a_missed_check(broken_dumps, tmp_path, capsys):
    page, folder = tmp_path / "report.html", tmp_path / "plots"
    assert parity(broken_dumps, "--html", page, "--plots", folder) == 1
    printed = capsys.readouterr().out
    assert "MISSED" in printed and f"no layer traces in {broken_dumps}: capture them with" in printed
    expected = int(load_file(DUMPS / "llm.safetensors")["greedy_tokens"][3])
    title = f"llm, greedy ids: the first to differ is that of step 3, ours {expected}, the reference's 5"
    assert title in printed and "1.00000" in printed
    text = page.read_text(encoding="utf-8")
    assert title.split(",")[1] in text and "2.4.0" in text and "no layer traces" in text
    assert sorted(path.name for path in folder.iterdir()) == ["audio.png", "mel.png"]
    assert all(pixels(path.read_bytes()).std() > 0.1 for path in folder.iterdir())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["dumps", "plots", "report.html"]


def test_command_as_json(broken_dumps, capsys):
    for name in ("flow_any", "hift_offline"):
        (broken_dumps / f"{name}.safetensors").unlink()
    assert parity(broken_dumps, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert found["id_differences"]["llm"][0]["theirs_top"][0] == [5, pytest.approx(1)]
    assert found["layers"] == {} and "no layer traces" in found["remarks"][0]


def test_command_explains_nothing_unasked(tmp_path, capsys):
    (tmp_path / "tokenizer.json").write_bytes((DUMPS / "tokenizer.json").read_bytes())
    assert parity(tmp_path) == 0
    assert "no layer traces" not in capsys.readouterr().out
    assert parity(tmp_path, "--trace") == 0
    printed = capsys.readouterr().out
    assert "no layer traces" in printed and tables.NOTHING_FOUND in printed


@pytest.mark.parametrize(
    ("option", "path", "sentence"),
    [
        ("--html", "", "name a file"),
        ("--html", "absent/report.html", "does not exist"),
        ("--plots", "file", "name a folder"),
        ("--plots", "absent/plots", "does not exist"),
    ],
)
def test_command_checks_outputs_before_the_work(option, path, sentence, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert parity(tmp_path, option, tmp_path / path) == 2
    assert sentence in capsys.readouterr().err


def test_pictures_need_matplotlib(tmp_path, capsys, monkeypatch):
    def absent():
        raise CosyError("Plots need matplotlib")

    monkeypatch.setattr("cosy_jax.plot.figure_type", absent)
    assert parity(DUMPS, "--plots", tmp_path / "plots") == 2
    assert "matplotlib" in capsys.readouterr().err and not (tmp_path / "plots").exists()
