"""One way of splitting a manifest at a time in a folder."""

import subprocess
import sys
from contextlib import ExitStack

import pytest

from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
from tests.batch.test_results import deliver, done
from tests.reference import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("other", [(1, 0), (3, 0), (3, 2), (4, 1)])
def test_two_shardings_do_not_run_at_once(tmp_path, other):
    with Results(tmp_path, 2, 1) as results:
        deliver(results, "a")
        with pytest.raises(CosyError, match=f"A run with 2 shards, not {other[0]}, fills {tmp_path}: wait for it"):
            Results(tmp_path, *other)
        assert {path.name for path in tmp_path.iterdir()} == {"a.wav", "results-1-of-2.jsonl"}
    with Results(tmp_path, *other) as results:  # nobody holds it any longer, and the line is there
        assert done(results, "a")


def test_the_whole_manifest_is_a_sharding_too(tmp_path):
    with Results(tmp_path), pytest.raises(CosyError, match="A run with 1 shards, not 2"):
        Results(tmp_path, 2, 0)


def test_shards_of_one_sharding_run_together(tmp_path):
    with ExitStack() as stack:
        shards = [stack.enter_context(Results(tmp_path, 3, index)) for index in range(3)]
        for key, results in zip("abc", shards, strict=True):
            deliver(results, key)
        with pytest.raises(CosyError, match="Another process writes .*results-1-of-3"):
            Results(tmp_path, 3, 1)
    with Results(tmp_path, 2, 0) as results:
        assert all(done(results, key) for key in "abc")


RACE = """
import sys
from cosy_jax.batch.results import Results
from cosy_jax.errors import CosyError
sys.stdin.readline()
try:
    with Results(sys.argv[1], int(sys.argv[2]), 0):
        print("held", flush=True)
        sys.stdin.readline()
except CosyError as error:
    print(error, flush=True)
"""


def test_of_two_that_start_at_once_never_both_run(tmp_path):
    with ExitStack() as stack:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True, "cwd": REPOSITORY}
        runs = [
            stack.enter_context(subprocess.Popen([sys.executable, "-c", RACE, str(tmp_path), f"{count}"], **pipes))
            for count in (2, 3)
        ]
        for run in runs:
            run.stdin.write("go\n")
            run.stdin.flush()
        answers = [run.stdout.readline() for run in runs]
        for run in runs:
            run.communicate("done\n")
    assert answers.count("held\n") <= 1, answers
    assert all(answer == "held\n" or answer.endswith("name another folder.\n") for answer in answers), answers
