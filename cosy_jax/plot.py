"""Pictures; matplotlib is an extra."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from cosy_jax.errors import CosyError
from cosy_jax.files import check_writable, write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def figure_type() -> "type[Figure]":
    """matplotlib's figure; CosyError where it is not installed."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise CosyError("Plots need matplotlib: pip install 'cosy_jax[plot]'.") from error
    return Figure


def check_picture(path: str | Path) -> None:
    """CosyError where no picture can be drawn into `path`, for what reason ever; called before the work."""
    if Path(path).suffix.lower() != ".png":
        raise CosyError(f"Pictures are PNG files: let the name '{Path(path).name}' end in .png.")
    check_writable(path)
    figure_type()


def save_picture(path: str | Path, figure: "Figure") -> None:
    """The figure as a PNG that appears when it is complete; CosyError for a failed write."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120)
    write_whole(Path(path), buffer.getvalue())
