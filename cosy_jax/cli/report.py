"""What `synthesize` and `convert-voice` share: speech under a progress bar, written to its file and reported."""

import argparse
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from rich.table import Table

from cosy_jax.cli.output import console, progress_bar, tell

if TYPE_CHECKING:
    from cosy_jax.nn.compile_log import CompileCount
    from cosy_jax.synthesis.speech import OnStage, Speech
    from cosy_jax.synthesis.stage import Stage


def produce(args: argparse.Namespace, stages: "Sequence[Stage]", work: "Callable[[OnStage], Speech]") -> "Speech":
    """The speech that `work` makes, once it is in the file --out and the report is printed.

    The first of the `stages` is running when `work` starts; `work` calls its argument with the names of the others.
    """
    from cosy_jax.audio.write import write_audio
    from cosy_jax.nn.compile_log import count_compilations

    start = time.perf_counter()
    with count_compilations() as compiled, progress_bar() as bar:
        task = bar.add_task(stages[0], total=len(stages))
        speech = work(lambda stage: bar.update(task, description=stage, completed=stages.index(stage)))
    first = time.perf_counter() - start - sum(speech.seconds[stage] for stage in stages[1:])
    write_audio(args.out, speech.audio, speech.sample_rate)
    seconds = {str(stage): speech.seconds[stage] for stage in stages[1:]}
    seconds = {str(stages[0]): first} | seconds | {"all": time.perf_counter() - start}
    _print_report(args.out, speech, seconds, compiled)
    return speech


def _print_report(out: str, speech: "Speech", seconds: dict[str, float], compiled: "CompileCount") -> None:
    table = Table("stage", "seconds", box=None)
    for stage, value in seconds.items():
        table.add_row(stage, f"{value:.2f}")
    console.print(table)
    tell(f"programs: {compiled.compiled} compiled, {compiled.cached} from the cache, in {compiled.seconds:.1f} s")
    tell(
        f"{out}: {speech.duration:.2f} s of speech, {len(speech.tokens)} speech tokens, "
        f"real-time factor {seconds['all'] / speech.duration:.2f}"
    )
