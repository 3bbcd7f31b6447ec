"""Tables, and figures kept in files.

    python -m benchmarks.table machine.json stages.json ...

prints the figures of all files in one table.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Figure:
    """One measured value and what it is of."""

    name: str
    value: float
    unit: str


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str | float]]) -> None:
    """A Markdown table, columns aligned; numbers with three digits."""
    cells = [[show(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (columns, *cells)) for column in range(len(columns))]
    for row in (columns, ["-" * width for width in widths], *cells):
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def show(cell: str | float) -> str:
    """A number with three significant digits and without exponent, a text as it is."""
    if isinstance(cell, str):
        return cell
    return f"{cell:,.0f}" if abs(cell) >= 100 else f"{cell:.3g}"


def print_figures(figures: Iterable[Figure]) -> None:
    print_table(("figure", "value", "unit"), [(figure.name, figure.value, figure.unit) for figure in figures])


def add_json_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")


def write_figures(path: str | None, figures: Sequence[Figure]) -> None:
    """The figures as JSON, where a path is given."""
    if path:
        Path(path).write_text(json.dumps([asdict(figure) for figure in figures], indent=1) + "\n", encoding="utf-8")


def read_figures(path: str) -> list[Figure]:
    """Inverse of `write_figures`."""
    return [Figure(**entry) for entry in json.loads(Path(path).read_text(encoding="utf-8"))]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    print_figures(figure for path in parser.parse_args().files for figure in read_figures(path))


if __name__ == "__main__":
    main()
