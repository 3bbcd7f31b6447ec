"""What `cosy-jax compare` prints: two files beside each other, or one row a file."""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from rich.table import Table

from cosy_jax.cli.output import console, tell
from cosy_jax.compare.verdict import file_warnings, sentence

if TYPE_CHECKING:
    from cosy_jax.compare.measure import Comparison, Recording

Measured = TypeVar("Measured")
Results = Sequence[tuple["Recording", "Comparison | None"]]


class _Figure(NamedTuple, Generic[Measured]):
    """A row of the table of two files, and, where `short` is not empty, a column of the table of many."""

    title: str
    short: str
    form: str
    value: Callable[[Measured], float]


_FILE: tuple["_Figure[Recording]", ...] = (
    _Figure("sample rate (Hz)", "", ".0f", lambda one: one.level.rate),
    _Figure("duration (s)", "s", ".3f", lambda one: one.level.seconds),
    _Figure("RMS (dBFS)", "RMS", ".1f", lambda one: one.level.rms_db),
    _Figure("peak (dBFS)", "peak", ".1f", lambda one: one.level.peak_db),
    _Figure("clipped samples", "clip", ".0f", lambda one: one.level.clipped),
    _Figure("constant offset", "", ".4f", lambda one: one.level.dc),
    _Figure("silence at head (s)", "head", ".2f", lambda one: one.level.head_silence),
    _Figure("silence at tail (s)", "tail", ".2f", lambda one: one.level.tail_silence),
    _Figure("median F0 (Hz)", "", ".1f", lambda one: one.median_f0),
    _Figure("voiced frames (%)", "", ".1f", lambda one: one.voiced * 100),
)
_PAIR: tuple["_Figure[Comparison]", ...] = (
    _Figure("lag (ms)", "lag ms", "+.2f", lambda pair: pair.lag_seconds * 1000),
    _Figure("SNR (dB)", "SNR", ".1f", lambda pair: pair.alignment.snr_db),
    _Figure("matched SNR (dB)", "matched", ".1f", lambda pair: pair.alignment.matched_snr_db),
    _Figure("gain (dB)", "", "+.2f", lambda pair: pair.alignment.gain_db),
    _Figure("correlation", "", ".4f", lambda pair: pair.alignment.correlation),
    _Figure("mel distance (dB)", "mel dB", ".2f", lambda pair: pair.mel_distance),
    _Figure("F0 RMSE (cents)", "F0 cents", ".0f", lambda pair: pair.pitch.rmse_cents),
    _Figure("F0 RMSE (Hz)", "", ".2f", lambda pair: pair.pitch.rmse_hz),
    _Figure("same voicing (%)", "voicing %", ".1f", lambda pair: pair.pitch.voicing_agreement * 100),
)


def print_two(results: Results) -> None:
    """Both files and their difference, the comparison and the verdict."""
    (first, _), (second, comparison) = results
    table = _figures_table("", "A", "B", "B - A")
    for figure in _FILE:
        x, y = figure.value(first), figure.value(second)
        table.add_row(figure.title, _number(x, figure.form), _number(y, figure.form), _number(y - x, "+" + figure.form))
    table.add_row()
    for pair in _PAIR:
        table.add_row(pair.title, "", "", _pair_number(pair, comparison))
    _print(("A", "B"), table, results)


def print_many(results: Results) -> None:
    """A row a file, then the verdicts."""
    files = [figure for figure in _FILE if figure.short]
    pairs = [figure for figure in _PAIR if figure.short]
    labels = [str(number) for number in range(1, len(results) + 1)]
    table = _figures_table("", *(figure.short for figure in files), *(pair.short for pair in pairs))
    for label, (recording, comparison) in zip(labels, results, strict=True):
        cells = [_number(figure.value(recording), figure.form) for figure in files]
        table.add_row(label, *cells, *(_pair_number(pair, comparison) for pair in pairs))
    _print(labels, table, results)


def _figures_table(*columns: str) -> Table:
    table = Table(box=None, padding=(0, 1, 0, 0))  # the table of many just fits into 80 columns
    for index, title in enumerate(columns):
        table.add_column(title, justify="right" if index else "left", overflow="fold")
    return table


def _print(labels: Sequence[str], table: Table, results: Results) -> None:
    """The paths behind the labels, the table, and what there is to say of each file."""
    for label, (recording, _) in zip(labels, results, strict=True):
        tell(f"{label}: {recording.path}")
    console.print(table)
    for label, (recording, comparison) in zip(labels, results, strict=True):
        verdict = [sentence(comparison)] if comparison else []
        if remarks := verdict + file_warnings(recording.level, comparison):
            tell(f"{label}: {'; '.join(remarks)}")


def _pair_number(pair: "_Figure[Comparison]", comparison: "Comparison | None") -> str:
    return "" if comparison is None else _number(pair.value(comparison), pair.form)


def _number(value: float, form: str) -> str:
    return "none" if math.isnan(value) else format(value, form)
