"""Pictures; matplotlib is an extra."""

from typing import TYPE_CHECKING

from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_type() -> "type[Figure]":
    """matplotlib's figure; CosyError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CosyError("Plots need matplotlib: pip install 'cosy_jax[plot]'.") from error
    return Figure
