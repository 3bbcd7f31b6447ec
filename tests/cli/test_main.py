"""The command as a module, and what it says of itself."""

import subprocess
import sys
import tomllib

from tests.reference import REPOSITORY


def run(*arguments):
    command = [sys.executable, "-m", "cosy_jax", *arguments]
    return subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)


def test_version_is_that_of_the_project():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    shown = run("--version")
    assert (shown.returncode, shown.stdout) == (0, f"cosy-jax {project['version']}\n")


def test_module_is_the_command(tmp_path):
    assert run("--help").stdout.startswith("usage: cosy-jax ")
    failed = run("info", str(tmp_path))
    assert failed.returncode == 2 and failed.stderr.startswith("cosy-jax: ")
