"""A picture of a batch run."""

from collections import Counter
from pathlib import Path

from cosy_jax.batch.entries import read_entries
from cosy_jax.batch.stats import Stats
from cosy_jax.plot import figure_type, save_picture

_TOKENS_A_BAR, _SECONDS_A_BAR = 25, 1


def plot_report(path: str | Path, results_path: Path, stats: Stats) -> None:
    """PNG with histograms of what the results file holds, and utilisation and busy seconds of the run.

    CosyError where matplotlib is not installed.
    """
    figure = figure_type()(figsize=(10, 7), layout="constrained")
    ((tokens, seconds), (utilisation, busy)) = figure.subplots(2, 2)
    token_counts, second_counts = _lengths(results_path)
    tokens.bar(list(token_counts), list(token_counts.values()), _TOKENS_A_BAR)
    tokens.set(xlabel="speech tokens", ylabel="lines")
    seconds.bar(list(second_counts), list(second_counts.values()), _SECONDS_A_BAR)
    seconds.set(xlabel="seconds of audio", ylabel="lines")
    if stats.timeline:
        utilisation.plot(*zip(*stats.timeline, strict=True), linewidth=0.6)
    utilisation.set(xlabel="seconds", xlim=(0, None), ylabel="slots in use", ylim=(0, 1.05))
    utilisation.set_title(f"mean {stats.utilisation:.3f}")
    busy.barh(list(stats.busy), list(stats.busy.values()))
    busy.invert_yaxis()
    busy.set(xlabel="busy seconds", title=f"of {stats.elapsed:.1f} s in all")
    save_picture(path, figure)


def _lengths(results_path: Path) -> tuple[Counter[float], Counter[float]]:
    """How many lines have which length, in tokens and in seconds, each at the middle of its bar."""
    tokens: Counter[float] = Counter()
    seconds: Counter[float] = Counter()
    for entry in read_entries(results_path):
        if "error" not in entry:
            tokens[(entry["tokens"] // _TOKENS_A_BAR + 0.5) * _TOKENS_A_BAR] += 1
            seconds[(entry["seconds"] // _SECONDS_A_BAR + 0.5) * _SECONDS_A_BAR] += 1
    return tokens, seconds
