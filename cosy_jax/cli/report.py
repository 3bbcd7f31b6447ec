"""What `synthesize` and `convert-voice` share: speech under a progress bar, written to its file and reported."""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.table import Table

from cosy_jax.cli.output import console, progress_bar, put, tell

if TYPE_CHECKING:
    from cosy_jax.nn.compile_log import CompileCount
    from cosy_jax.synthesis.speech import OnPart, OnStage, Speech
    from cosy_jax.synthesis.stage import Stage
    from cosy_jax.synthesis.synthesizer import Synthesizer


def produce(
    args: argparse.Namespace,
    synthesizer: "Synthesizer",
    stages: "Sequence[Stage]",
    work: "Callable[[OnStage, OnPart], Speech]",
) -> "Speech":
    """The speech that `work` makes, once it is in the file --out and the report is printed.

    The first of the `stages` is running when `work` starts; `work` tells of the others, and of their parts. Programs
    and weights of stages that have run are handed back: the process ends with this utterance.
    """
    from cosy_jax.audio.write import write_audio
    from cosy_jax.nn.compile_log import count_compilations
    from cosy_jax.nn.programs import forget

    start = time.perf_counter()
    with count_compilations() as compiled, watched(stages) as (on_stage, on_part):

        def handed_on(stage: "Stage") -> None:
            forget()
            done, ahead = stages[: stages.index(stage)], stages[stages.index(stage) :]
            synthesizer.release(*_weights(done) - _weights(ahead))
            on_stage(stage)

        speech = work(handed_on, on_part)
    first = time.perf_counter() - start - sum(speech.seconds[stage] for stage in stages[1:])
    write_audio(args.out, speech.audio, speech.sample_rate)
    seconds = {str(stage): speech.seconds[stage] for stage in stages[1:]}
    seconds = {str(stages[0]): first} | seconds | {"all": time.perf_counter() - start}
    if args.json:
        put(_as_json(args.out, speech, seconds, compiled))
    else:
        _print_report(args.out, speech, seconds, compiled)
    return speech


def _weights(stages: "Sequence[Stage]") -> set[str]:
    return {name for stage in stages for name in stage.weights}


@contextmanager
def watched(stages: "Sequence[Stage]") -> "Iterator[tuple[OnStage, OnPart]]":
    """A bar over the stages and, where there are several, the parts of each; gives what is told of them."""
    running = stages[0]
    with progress_bar() as bar:
        task = bar.add_task(running, total=len(stages))

        def on_stage(stage: "Stage") -> None:
            nonlocal running
            running = stage
            bar.update(task, description=stage, completed=stages.index(stage))

        def on_part(done: int, parts: int) -> None:
            if parts > 1:
                completed = stages.index(running) + done / parts
                bar.update(task, description=f"{running} {done + 1}/{parts}", completed=completed)

        yield on_stage, on_part


def _print_report(out: str, speech: "Speech", seconds: dict[str, float], compiled: "CompileCount") -> None:
    table = Table("stage", "seconds", box=None)
    for stage, value in seconds.items():
        table.add_row(stage, f"{value:.2f}")
    console.print(table)
    cached = f"{compiled.cached} from the cache, {compiled.whole} of them untraced"
    tell(f"programs: {compiled.compiled} compiled, {cached}, in {compiled.seconds:.1f} s")
    tell(
        f"{out}: {speech.duration:.2f} s of speech, {len(speech.tokens)} speech tokens, "
        f"real-time factor {seconds['all'] / speech.duration:.2f}"
    )


def _as_json(out: str, speech: "Speech", seconds: dict[str, float], compiled: "CompileCount") -> str:
    programs = {
        "compiled": compiled.compiled,
        "cached": compiled.cached,
        "whole": compiled.whole,
        "seconds": round(compiled.seconds, 4),
    }
    report = {
        "out": out,
        "seconds": round(speech.duration, 5),
        "sample_rate": speech.sample_rate,
        "tokens": len(speech.tokens),
        "fallbacks": speech.fallbacks,
        "stages": {stage: round(value, 4) for stage, value in seconds.items()},
        "real_time_factor": round(seconds["all"] / speech.duration, 4),
        "programs": programs,
    }
    return json.dumps(report)
