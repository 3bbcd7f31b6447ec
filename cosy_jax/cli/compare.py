"""`cosy-jax compare`: audio files against the first of them."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from cosy_jax.cli.common import add_command
from cosy_jax.cli.output import progress_bar, put, say, shown

if TYPE_CHECKING:
    from cosy_jax.cli.compare_report import Results

_EXAMPLE = """cosy-jax compare reference.wav ours.wav --plot both.png

SNR is taken over the samples in common, aligned by the largest cross-correlation; matched SNR after the gain too.
The mel distance is the mean over the DTW path of each frame's rms difference over 80 log-mel bands, in dB.
F0 and voicing are compared along the same path. Silence: frames of 10 ms 50 dB below the loudest one.

verdicts:
  identical                               every sample is the same
  same signal                             matched SNR of 60 dB or more: two roundings, or two machines
  nearly the same signal                  20 dB or more
  same signal with noise or distortion    0 dB or more
  same speech, other waveform             mel distance of 7 dB or less, durations within 25 %
  different                               else"""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "compare", "compare audio files with the first of them", _EXAMPLE, run)
    parser.add_argument("first", metavar="A.wav", help="what the others are compared with")
    parser.add_argument("others", nargs="+", metavar="B.wav", help="more than one: a table with a row a file")
    parser.add_argument("--plot", metavar="PNG", help="a picture with waveforms, mels and F0 above each other")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--min-snr", type=float, metavar="DB", help="exit with 1 where an SNR is lower (not matched)")


def run(args: argparse.Namespace) -> int:
    from cosy_jax.compare.extra import import_librosa
    from cosy_jax.plot import check_picture

    import_librosa()
    if args.plot:
        check_picture(args.plot)
    from cosy_jax.cli.compare_report import print_many, print_two
    from cosy_jax.compare.report import to_json

    results = _compare([args.first, *args.others])
    if args.plot:
        from cosy_jax.compare.plot import plot_recordings

        plot_recordings(args.plot, [recording for recording, _ in results])
    if args.json:
        put(to_json(results))
    else:
        (print_two if len(results) == 2 else print_many)(results)
    return _check_snr(results, args.min_snr)


def _compare(paths: list[str]) -> "Results":
    from cosy_jax.compare.measure import compare_files

    with progress_bar() as bar:
        task = bar.add_task("reading", total=len(paths) + 1)

        def on_file(path: str) -> None:
            bar.update(task, description=escape(shown(Path(path).name)), advance=1)

        return compare_files(paths, on_file)


def _check_snr(results: "Results", limit: float | None) -> int:
    """1, and a sentence for each on standard error, where an SNR is below the limit, else 0."""
    low = [
        (recording.path, comparison.alignment.snr_db)
        for recording, comparison in results
        if comparison and limit is not None and not comparison.alignment.snr_db >= limit
    ]
    for path, snr in low:
        say(f"{path}: SNR {snr:.1f} dB, less than {limit:g} dB")
    return int(bool(low))
