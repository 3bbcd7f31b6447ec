"""`cosy-jax parity`: dumps of the PyTorch reference against this port."""

import argparse
from typing import Any

from rich.table import Table

from cosy_jax.cli.common import add_command, add_runtime_options, console, progress_bar, start_jax

_EXAMPLE = "cosy-jax parity --weights weights/cosyvoice3 --dumps dumps"


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "parity", "compare every stage with dumps of the PyTorch reference", _EXAMPLE, run)
    parser.add_argument(
        "--weights", required=True, metavar="DIR", help="converted from the weights the dumps were made with"
    )
    parser.add_argument("--dumps", required=True, metavar="DIR", help="the reference's tensors")
    parser.add_argument("--llm", default="base", choices=("auto", "rl", "base"), help="(default: base)")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    start_jax(args)
    from cosy_jax.parity.run import not_covered, run_parity, to_json
    from cosy_jax.precision import get_precision
    from cosy_jax.synthesis import Synthesizer

    synthesizer = Synthesizer(args.weights, llm=args.llm, precision=get_precision(args.dtype))
    results = []
    with progress_bar() as bar:
        task = bar.add_task("parity", total=None)
        for dump, checks in run_parity(synthesizer, args.dumps):
            bar.update(task, description=dump)
            results.append((dump, checks))
    skipped = not_covered(args.dumps)
    checks = [check for _, group in results for check in group]
    missed = sum(not check.ok for check in checks)
    if args.json:
        print(to_json(results, skipped))
        return int(missed > 0)
    console.print(_table(results), soft_wrap=True)
    for name in skipped:
        console.print(f"{name}: not covered, no check reads it", markup=False)
    console.print(f"{len(checks) - missed} of {len(checks)} checks ok")
    return int(missed > 0)


def _table(results: list) -> Table:
    table = Table("dump", "check", "max abs", "mean abs", "SNR (dB)", "limit", "", "note", box=None)
    for dump, checks in results:
        for check in checks:
            figures = (_number(check.max_abs, ".2e"), _number(check.mean_abs, ".2e"), _number(check.snr_db, ".1f"))
            verdict = "[green]ok[/]" if check.ok else "[bold red]MISSED[/]"
            table.add_row(dump, check.name, *figures, check.limit, verdict, check.note)
    return table


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)
