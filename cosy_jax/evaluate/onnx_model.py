"""Judges that are ONNX files of the user's, run by onnxruntime."""

from pathlib import Path
from typing import Any

from cosy_jax.errors import CosyError


def open_onnx(path: str | Path) -> Any:
    """An `onnxruntime.InferenceSession` on the CPU. CosyError where onnxruntime is not installed, or the file is none
    that it runs."""
    try:
        import onnxruntime
    except ImportError as error:
        raise CosyError("ONNX files need onnxruntime: pip install 'cosy_jax[evaluate]'.") from error
    if not Path(path).is_file():
        raise CosyError(f"There is no file {path}: give the path of an ONNX model.")
    try:
        return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class
        raise CosyError(f"onnxruntime cannot run {path} ({str(error).splitlines()[0]}): give an ONNX model.") from error
