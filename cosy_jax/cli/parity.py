"""`cosy-jax parity`: dumps of the PyTorch reference against this port."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import add_command, add_runtime_options, start_jax
from cosy_jax.cli.output import progress_bar, put, say
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.parity.report.report import Report
    from cosy_jax.synthesis.synthesizer import Synthesizer

_EXAMPLE = """cosy-jax parity --weights weights/cosyvoice3 --dumps dumps
  cosy-jax parity --weights weights/cosyvoice3 --dumps dumps --trace --html report.html

Where a check is missed, the table is followed by the place to look first and by the first id that differs."""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "parity", "compare every stage with dumps of the PyTorch reference", _EXAMPLE, run)
    add_weights_option(parser, "converted from the weights the dumps were made with")
    parser.add_argument("--dumps", required=True, metavar="DIR", help="the reference's tensors")
    parser.add_argument("--llm", default="base", choices=("auto", "rl", "base"), help="(default: base)")
    parser.add_argument("--trace", action="store_true", help="print the error after every layer and Euler step")
    parser.add_argument(
        "--truth", action="store_true", help="print how near ours and the reference's run are to float64, as Markdown"
    )
    parser.add_argument("--html", metavar="FILE", help="also write all of it, with pictures, as one page (matplotlib)")
    parser.add_argument("--plots", metavar="DIR", help="also write the pictures as PNG files (matplotlib)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    _check_outputs(args)
    start_jax(args)
    from cosy_jax.cli.parity_report import print_report
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.parity.report.report import to_json
    from cosy_jax.synthesis.synthesizer import Synthesizer

    synthesizer = Synthesizer(args.weights, llm=args.llm, precision=get_precision(args.dtype), as_stored=True)
    report, pictures = _work(args, synthesizer)
    if args.json:
        put(to_json(report))
    else:
        print_report(report, args.trace, args.truth)
    _write(args, report, pictures)
    return int(report.missed > 0)


def _work(args: argparse.Namespace, synthesizer: "Synthesizer") -> tuple["Report", dict[str, bytes]]:
    """The report and its pictures, under a progress bar."""
    from cosy_jax.parity.report.report import Report, explain, our_setup, read_provenance
    from cosy_jax.parity.run import not_covered, run_parity

    dumps = Path(args.dumps)
    with progress_bar() as bar:
        task = bar.add_task("parity", total=None)

        def on_part(part: str) -> None:
            bar.update(task, description=part)

        results = []
        for dump, checks in run_parity(synthesizer, dumps):
            on_part(dump)
            results.append((dump, checks))
        drawn = bool(args.html or args.plots)
        missed = not all(check.ok for _, checks in results for check in checks)
        wanted = missed or args.trace or drawn
        explanation = explain(synthesizer, dumps, on_part) if wanted else None
        report = Report(
            results, not_covered(dumps), our_setup(synthesizer, args.dtype), read_provenance(dumps), explanation
        )
        if not (drawn and explanation):
            return report, {}
        from cosy_jax.parity.report.plots import draw

        on_part("pictures")
        return report, draw(synthesizer, dumps, results, explanation.diagnosis)


def _check_outputs(args: argparse.Namespace) -> None:
    """CosyError for what cannot be written, before the work."""
    from cosy_jax.files import check_writable
    from cosy_jax.plot import figure_type

    if args.html or args.plots:
        figure_type()
    if args.html:
        check_writable(args.html)
    if args.plots:
        folder = Path(args.plots)
        if folder.is_file():
            raise CosyError(f"{folder} is a file: name a folder.")
        check_writable(folder / "layers.png" if folder.is_dir() else folder)


def _write(args: argparse.Namespace, report: "Report", pictures: dict[str, bytes]) -> None:
    from cosy_jax.files import write_whole
    from cosy_jax.parity.report.html import to_html

    files = {Path(args.plots) / name: png for name, png in pictures.items()} if args.plots else {}
    if args.html:
        files[Path(args.html)] = to_html(report, pictures).encode("utf-8")
    for path, content in files.items():
        write_whole(path, content)
        say(f"{path}: written")
