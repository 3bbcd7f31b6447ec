"""Writes dumps: under a temporary name first, then renamed."""

import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import safetensors.torch
import torch
import transformers


class Writer(NamedTuple):
    """Writes into a folder; every safetensors file gets the commit of the reference in its metadata."""

    folder: Path
    commit: str

    def tensors(
        self, name: str, tensors: dict[str, torch.Tensor], *, note: str, device: str, dtype: str, **metadata: str
    ) -> None:
        """`name`.safetensors, with versions, `device` and `dtype` of the run and `metadata` beside the note."""
        about = {
            "note": note,
            "reference_commit": self.commit,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
            "device": device if device == "cpu" else f"{device} ({torch.cuda.get_device_name()})",
            "dtype": dtype,
            **metadata,
        }
        # Copies, because safetensors refuses tensors that share memory.
        copies = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
        self._write(f"{name}.safetensors", lambda path: safetensors.torch.save_file(copies, path, about))

    def json(self, name: str, content: dict[str, Any]) -> None:
        """`name`.json."""
        self.text(f"{name}.json", json.dumps(content, ensure_ascii=False, indent=1))

    def text(self, name: str, text: str) -> None:
        """A file of this name."""
        self._write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def _write(self, name: str, write: Callable[[Path], object]) -> None:
        hidden = self.folder / f".{name}.part"
        write(hidden)
        os.replace(hidden, self.folder / name)
