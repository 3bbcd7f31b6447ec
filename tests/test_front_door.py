"""`import cosy_jax`: the names are there, and cost nothing until they are used."""

import subprocess
import sys

import pytest

import cosy_jax


@pytest.mark.parametrize("name", cosy_jax.__all__)
def test_every_name_is_found(name):
    assert getattr(cosy_jax, name) is not None
    assert name in dir(cosy_jax)


def test_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Synthesiser'"):
        _ = cosy_jax.Synthesiser


def test_importing_it_imports_nothing_large():
    code = (
        "import sys, cosy_jax; print([name for name in ('jax', 'flax', 'numpy', 'soundfile') if name in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
