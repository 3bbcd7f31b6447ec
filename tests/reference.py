"""Where the recorded outputs of the PyTorch reference are; tests that need them are skipped without them."""

import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


def reference_dir() -> Path | None:
    """The folder that holds `model/` and `dumps/`, or None.

    The environment variable COSY_JAX_REFERENCE names it; otherwise `shared/reference` beside the repository is tried.
    """
    named = os.environ.get("COSY_JAX_REFERENCE")
    folder = Path(named) if named else REPOSITORY.parent / "shared" / "reference"
    return folder if folder.is_dir() else None


requires_reference = pytest.mark.skipif(
    reference_dir() is None,
    reason="no reference outputs: set COSY_JAX_REFERENCE to the folder that holds model/ and dumps/",
)
