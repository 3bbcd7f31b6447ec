"""What an installation holds."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from tests.reference import REPOSITORY

SOURCES = {"cosy_jax": "cosy_jax", "conversions": "cosy_jax/conversions"}  # in the repository, installed


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built without network, from a copy: setuptools would leave its files in the checkout, and find older ones."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / name, folder / name, symlinks=True, ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, folder)
    command = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run([*command, "--wheel-dir", "built"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = (folder / "built").iterdir()
    return built


def test_nothing_but_cosy_jax_is_installed(wheel):
    with ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert len(tops) == 2
    assert {name.removesuffix(".dist-info").partition("-")[0] for name in tops} == {"cosy_jax"}


def test_every_module_is_installed(wheel):
    modules = {
        f"{installed}/{path.relative_to(REPOSITORY / name).as_posix()}"
        for name, installed in SOURCES.items()
        for path in (REPOSITORY / name).rglob("*.py")
    }
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.endswith(".py")}
    assert found == modules


def test_types_are_installed(wheel):
    with ZipFile(wheel) as archive:
        assert "cosy_jax/py.typed" in archive.namelist()


def test_the_page_is_installed(wheel):
    folder = REPOSITORY / "cosy_jax" / "serve" / "page"
    with ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if name.startswith("cosy_jax/serve/page/")}
    assert found == {f"cosy_jax/serve/page/{path.name}" for path in folder.iterdir()}
    assert "cosy_jax/serve/page/index.html" in found


def test_conversions_work_where_they_are_installed(wheel, tmp_path):
    with ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    code = "from cosy_jax.conversions import capture_reference, convert; print(convert.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert Path(done.stdout.strip()) == tmp_path / "cosy_jax" / "conversions" / "convert.py", done.stderr


def test_a_checkout_in_the_working_folder_does_not_hide_what_is_installed(tmp_path):
    """A clone is called cosy_jax too: Python run beside it would take that folder for the package."""
    (tmp_path / "cosy_jax").mkdir()
    code = "import cosy_jax, cosy_jax.conversions; print(cosy_jax.Request, cosy_jax.conversions.__path__[0])"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert "Request" in done.stdout, done.stderr
    folder = Path(done.stdout.split()[-1]).resolve()
    assert folder == REPOSITORY / "conversions", "install this checkout: pip install --editable '.[dev]'"
