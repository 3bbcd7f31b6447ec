"""WORLD (https://doi.org/10.1587/transinf.2015EDP7457) by pyworld, an extra."""

from typing import Any

from cosy_jax.errors import CosyError


def import_pyworld(purpose: str, extra: str) -> Any:
    """The package; CosyError where it is not installed: what needs it, and the extra that brings it."""
    try:
        import pyworld
    except ImportError as error:
        raise CosyError(f"{purpose} need pyworld: pip install 'cosy_jax[{extra}]'.") from error
    return pyworld
