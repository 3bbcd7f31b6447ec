"""Options of `cosy-jax batch --ray`, and that nobody else pays for them."""

import subprocess
import sys

import pytest

from cosy_jax.cli import main
from tests.conftest import TINY
from tests.reference import REPOSITORY


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--num-shards", "2"], "--num-shards"),
        (["--plot", "a.png"], "--plot"),
        (["--device", "gpu"], "--device"),
        (["--worker-gpus", "1", "--worker-tpus", "1"], "--worker-gpus or --worker-tpus"),
        (["--worker-tpus", "3"], "1, 2, 4 or 8"),
        (["--worker-cpus", "0"], "--worker-cpus"),
        (["--workers", "0"], "--workers"),
        (["--block-lines", "-1"], "--block-lines"),
        (["--slots", "0"], "--slots"),
        (["--voice", "anna"], "JSON manifest"),
    ],
)
def test_what_a_cluster_does_not_do_is_said_first(capsys, tmp_path, options, said):
    arguments = ["batch", "absent.jsonl", "--ray", "--out", str(tmp_path / "out"), "--weights", str(TINY)]
    assert main([*arguments, *options]) == 2
    assert said in capsys.readouterr().err and not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--workers", "2"], ["--layout", "tar"], ["--worker-gpus", "1"]])
def test_one_machine_has_no_workers(capsys, tmp_path, options):
    arguments = ["batch", "absent.jsonl", "--out", str(tmp_path / "out"), "--weights", str(TINY)]
    assert main([*arguments, *options]) == 2
    assert f"{options[0]} is for a cluster" in capsys.readouterr().err


CODE = """
import sys
from cosy_jax.cli import main
main(["batch", "tests/data/manifest.jsonl", "--weights", "tests/data/tiny", "--out", sys.argv[1], "--slots", "0"])
import cosy_jax.batch.pipeline, cosy_jax.cli.command_line
print(sorted({name.partition(".")[0] for name in sys.modules} & {"ray", "pyarrow", "fsspec", "pandas"}))
"""


def test_nothing_of_ray_is_imported_unless_it_is_asked_for(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
