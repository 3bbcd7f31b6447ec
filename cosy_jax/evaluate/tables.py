"""The table of an evaluation, for a terminal and for the page."""

from collections.abc import Callable
from typing import Any, NamedTuple

from cosy_jax.evaluate.summary import Summary

_MOST_SPEAKERS = 20  # rows; a set with a prompt an utterance has only the row of all


class _Column(NamedTuple):
    title: str
    value: Callable[[Summary], Any]
    form: str


def _of_reference(name: str) -> Callable[[Summary], Any]:
    return lambda figures: (figures["reference"] or {}).get(name)


# Together with a name of 12 characters they just fit into 80 columns.
_COLUMNS = (
    _Column("n", lambda figures: figures["utterances"], "d"),
    _Column("WER %", lambda figures: figures["word_error_rate"], "%"),
    _Column("CER %", lambda figures: figures["character_error_rate"], "%"),
    _Column("ref %", _of_reference("word_error_rate"), "%"),
    _Column("sim", lambda figures: figures["similarity"], ".2f"),
    _Column("near %", lambda figures: figures["nearest_speaker_right"], "%"),
    _Column("F0 Hz", lambda figures: figures["f0_median_mean"], ".0f"),
    _Column("x ref", _of_reference("f0_ratio"), ".2f"),
    _Column("s", lambda figures: figures["duration_mean"], ".1f"),
    _Column("x ref", _of_reference("duration_ratio"), ".2f"),
    _Column("MOS", lambda figures: (figures["dnsmos"] or {}).get("overall"), ".2f"),
)
LEGEND = (
    "WER, CER: word and character errors of all that was said; ref: the reference's; sim: cosine with the prompt's "
    "voice; near: nearest voice right; F0: median; s: duration; x ref: times the reference's"
)


class Table(NamedTuple):
    """What `_COLUMNS` has figures of."""

    header: tuple[str, ...]
    rows: list[tuple[str, ...]]


def overview(summary: Summary) -> Table:
    """A row a speaker, and one of all of them; columns that nobody measured are left out."""
    speakers = summary["speakers"] if len(summary["speakers"]) <= _MOST_SPEAKERS else {}
    groups = [*speakers.items(), ("all", summary["all"])]
    columns = [column for column in _COLUMNS if any(column.value(figures) is not None for _, figures in groups)]
    rows = [(name or "no voice", *(_cell(column, figures) for column in columns)) for name, figures in groups]
    return Table(("", *(column.title for column in columns)), rows)


def remarks(summary: Summary) -> list[str]:
    """What the table does not hold, a sentence each."""
    figures = summary["all"]
    reference = figures["reference"] or {}
    found = []
    if figures["failed"]:
        found.append(f"{figures['failed']} of {figures['utterances']} utterances have no figures")
    if figures["mean_word_error_rate"] is not None:
        found.append(
            f"mean of the utterances' word error rates {figures['mean_word_error_rate']:.1%}; "
            f"{figures['substitutions']} words replaced, {figures['deletions']} left out, {figures['insertions']} added"
        )
    if figures["words_a_second"]:
        found.append(
            f"{figures['words_a_second']:.2f} words a second; silence {_seconds(figures, 'head_silence_mean')} before, "
            f"{_seconds(figures, 'tail_silence_mean')} after; {figures['clipped_utterances']} clipped, "
            f"{figures['without_sound']} without sound"
        )
    for name, what in (("duration_within_15_percent", "duration within 15"), ("f0_within_5_percent", "F0 within 5")):
        if reference.get(name) is not None:
            found.append(f"{what} % of the reference's in {reference[name]:.1%} of the utterances")
    if figures["similarity"] is not None:
        found.append(f"similarity by {summary['speaker_model']}")
    if speed := summary.get("speed"):
        found.append(
            f"real-time factor {speed['real_time_factor']:.3f} over {speed['audio_seconds']:.1f} s of audio; "
            f"{speed['compile_seconds']:.1f} s of it went into compiling"
        )
    return found


def _seconds(figures: Summary, name: str) -> str:
    return "none" if figures[name] is None else f"{figures[name]:.2f} s"


def _cell(column: _Column, figures: Summary) -> str:
    value = column.value(figures)
    if value is None:
        return ""
    return f"{value * 100:.1f}" if column.form == "%" else format(value, column.form)
