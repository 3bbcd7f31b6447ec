"""librosa, an extra."""

from typing import Any

from cosy_jax.errors import CosyError


def import_librosa() -> Any:
    """The package; CosyError where it is not installed."""
    try:
        import librosa
    except ImportError as error:
        raise CosyError("Comparing audio needs librosa: pip install 'cosy_jax[compare]'.") from error
    return librosa
