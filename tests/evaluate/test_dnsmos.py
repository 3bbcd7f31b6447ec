"""The published layout and polynomials, around a network whose figures are known."""

import numpy as np
import pytest

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.dnsmos import Dnsmos
from tests.evaluate.graphs import write_maximum, write_product

WINDOW = 144160


def network(folder, columns=3, first=0):
    """Its figures are samples `first` and those that follow of the window."""
    return Dnsmos(write_product(folder / "dnsmos.onnx", np.eye(WINDOW, columns, -first, dtype=np.float32)))


def test_a_short_recording_is_repeated(tmp_path):
    samples = np.zeros(WINDOW // 2, np.float32)
    samples[:3] = 2, 3, 4
    found = network(tmp_path, first=WINDOW // 2).score(samples, 16000)
    assert found == pytest.approx(
        {
            "signal": -0.08397278 * 4 + 1.22083953 * 2 + 0.0052439,
            "background": -0.13166888 * 9 + 1.60915514 * 3 - 0.39604546,
            "overall": -0.06766283 * 16 + 1.11546468 * 4 + 0.04602535,
        }
    )


def test_windows_move_by_a_second(tmp_path):
    samples = np.zeros(11 * 16000 + 100, np.float32)  # 10 s hold one window, 11 s two
    samples[16000] = 2
    found = network(tmp_path).score(samples, 16000)
    assert found["signal"] == pytest.approx(0.0052439 + (-0.08397278 * 4 + 1.22083953 * 2) / 2)


def test_another_network_is_refused(tmp_path):
    with pytest.raises(CosyError, match="is not DNSMOS P.835"):
        Dnsmos(write_maximum(tmp_path / "other.onnx"))
    with pytest.raises(CosyError, match="gives 2 figures, DNSMOS P.835 three"):
        network(tmp_path, columns=2).score(np.ones(16000, np.float32), 16000)
    with pytest.raises(CosyError, match="There is no file"):
        Dnsmos(tmp_path / "absent.onnx")
    (tmp_path / "text.onnx").write_text("text")
    with pytest.raises(CosyError, match="onnxruntime cannot run"):
        Dnsmos(tmp_path / "text.onnx")
