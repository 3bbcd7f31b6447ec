"""Programs for TPUs that are not there."""

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks import tpu
from benchmarks.counts import Count
from benchmarks.table import read_figures
from benchmarks.tpu import CHIPS, Compiled
from benchmarks.tpu_programs import Program
from cosy_jax.errors import CosyError
from tests.reference import REPOSITORY


def test_least_time_is_that_of_products_or_of_memory():
    chip, program = CHIPS["v5e"], Program("nothing", "", lambda: pytest.fail("lowered"), Count(1e12, 1e9, 1e9), 2, 6)
    assert (program.flops, program.bytes) == (6e12, 4e9)
    products = Compiled(program, 1.0, 1.0, 0, 0, 6e12, 4e9)
    memory = Compiled(program, 1.0, 1.0, 0, 0, 6e11, 4e9)
    assert products.seconds(chip, 1, 1) == pytest.approx(6 / 197)
    assert memory.seconds(chip, 2, 2) == pytest.approx(4 / 819 / 4)
    copied = replace(memory, program=replace(program, copied=True))
    assert copied.seconds(chip, 4, 1) == pytest.approx(4 / 819)
    assert copied.seconds(chip, 2, 2) == pytest.approx(4 / 819 / 2)


def test_no_compiler_and_too_many_chips_are_named(monkeypatch):
    def topology(found):
        def answer(*args):
            if found is None:
                raise RuntimeError("no libtpu")
            return type("Topology", (), {"devices": found})

        monkeypatch.setattr(tpu.topologies, "get_topology_desc", answer)

    topology(None)
    with pytest.raises(CosyError, match="pip install"):
        CHIPS["v5e"].mesh(1, 1)
    topology([object()] * 4)
    with pytest.raises(CosyError, match="more than 4"):
        CHIPS["v5e"].mesh(4, 2)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("libtpu") is None, reason="no compiler for TPUs: the extra tpu has it")
def test_every_program_compiles_for_a_chip_and_fits_it(tmp_path):
    """With two of the language model's and speech tokenizer's equal layers, whose number is minutes; flow and vocoder
    loop over theirs."""
    figures = tmp_path / "figures.json"
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.tpu", "--chip", "v5e", "--mesh", "1x1"]
    command += ["--layers", "2", "--json", str(figures)]
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, timeout=1200)
    assert done.returncode == 0, done.stderr[-2000:]
    memory = {entry.name: entry.value for entry in read_figures(str(figures)) if entry.name.endswith("memory")}
    assert len(memory) == 13 and max(memory.values()) < 16
