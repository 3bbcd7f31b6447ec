"""--plot without matplotlib is refused before the work."""

import sys

import pytest

from cosy_jax.cli import main
from tests.cli.test_synthesize import RECORDING, arguments


@pytest.mark.parametrize("command", ["synthesize", "compare"])
def test_without_matplotlib(command, monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    words = {
        "synthesize": arguments(tmp_path / "a.wav", weights=tmp_path / "absent"),
        "compare": ["compare", str(RECORDING), str(tmp_path / "absent.wav")],
    }
    assert main([*words[command], "--plot", str(tmp_path / "a.png")]) == 2
    assert "Plots need matplotlib: pip install 'cosy_jax[plot]'." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
