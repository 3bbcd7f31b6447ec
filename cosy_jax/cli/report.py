"""What `synthesize` and `convert-voice` share: speech under a progress bar, written to its file and reported."""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from rich.table import Table

from cosy_jax.cli.output import console, progress_bar, put, tell

if TYPE_CHECKING:
    from cosy_jax.nn.compile_log import CompileCount
    from cosy_jax.synthesis.speech import OnPart, OnStage, Speech
    from cosy_jax.synthesis.stage import Stage
    from cosy_jax.synthesis.synthesizer import Synthesizer


@dataclass
class _Spoken:
    """What is told of the segments, of which none is kept."""

    sample_rate: int
    samples: int = 0
    tokens: int = 0
    fallbacks: int = 0
    seconds: "defaultdict[Stage, float]" = field(default_factory=lambda: defaultdict(float))

    @property
    def duration(self) -> float:
        return self.samples / self.sample_rate

    def add(self, segment: "Speech") -> None:
        self.samples += len(segment.audio)
        self.tokens += len(segment.tokens)
        self.fallbacks += segment.fallbacks
        for stage, taken in segment.seconds.items():
            self.seconds[stage] += taken


def produce(
    args: argparse.Namespace,
    synthesizer: "Synthesizer",
    stages: "Sequence[Stage]",
    work: "Callable[[OnStage, OnPart], Iterator[Speech]]",
) -> None:
    """Writes the segments that `work` makes into the file --out, each as it comes, and prints the report.

    The first of the `stages` is running when `work` starts; `work` tells of the others, and of their parts. Programs
    and weights of stages that have run are handed back, as the process ends with this utterance; but for the last two,
    flow and vocoder, which segments take in turn.
    """
    from cosy_jax.nn.compile_log import count_compilations
    from cosy_jax.nn.programs import forget, reading_ahead

    start = time.perf_counter()
    begun: dict[Stage, float] = {}
    kind = f"{stages} {args.weights} {args.dtype} {args.voice is None}"  # what decides which programs are wanted first
    with count_compilations() as compiled, watched(stages) as (on_stage, on_part), reading_ahead(kind):

        def handed_on(stage: "Stage") -> None:
            if stage not in begun and stage != stages[-1]:
                forget()
                done, ahead = stages[: stages.index(stage)], stages[stages.index(stage) :]
                synthesizer.release(*_weights(done) - _weights(ahead))
            begun.setdefault(stage, time.perf_counter())
            on_stage(stage)

        spoken = _write(args.out, work(handed_on, on_part))
    seconds = {str(stage): spoken.seconds[stage] for stage in stages[1:]}
    seconds = {str(stages[0]): begun[stages[1]] - start} | seconds | {"all": time.perf_counter() - start}
    if args.json:
        put(_as_json(args.out, spoken, seconds, compiled))
    else:
        _print_report(args.out, spoken, seconds, compiled)


def _write(out: str, segments: "Iterator[Speech]") -> _Spoken:
    """The file is opened when its first segment is there: all that can fail but for writing has been done once."""
    from cosy_jax.audio.write import whole_audio

    first = next(segments)
    spoken = _Spoken(first.sample_rate)
    with whole_audio(out, first.sample_rate) as file:
        for segment in chain([first], segments):
            file.write(segment.audio)
            spoken.add(segment)
    return spoken


def _weights(stages: "Sequence[Stage]") -> set[str]:
    return {name for stage in stages for name in stage.weights}


@contextmanager
def watched(stages: "Sequence[Stage]") -> "Iterator[tuple[OnStage, OnPart]]":
    """A bar over the stages and, where there are several, the parts of each; gives what is told of them."""
    running, ends = stages[0], 1.0
    share = dict.fromkeys(stages, 0.0)  # of each stage, how much is done
    with progress_bar() as bar:
        task = bar.add_task(running, total=len(stages))

        def on_stage(stage: "Stage") -> None:
            nonlocal running, ends
            if stage != running:
                share[running] = ends
            running, ends = stage, 1.0
            bar.update(task, description=stage, completed=sum(share.values()))

        def on_part(done: int, parts: int) -> None:
            nonlocal ends
            if parts > 1:
                share[running], ends = done / parts, (done + 1) / parts
                bar.update(task, description=f"{running} {done + 1}/{parts}", completed=sum(share.values()))

        yield on_stage, on_part


def _print_report(out: str, spoken: _Spoken, seconds: dict[str, float], compiled: "CompileCount") -> None:
    table = Table("stage", "seconds", box=None)
    for stage, value in seconds.items():
        table.add_row(stage, f"{value:.2f}")
    console.print(table)
    cached = f"{compiled.cached} from the cache, {compiled.whole} of them untraced"
    tell(f"programs: {compiled.compiled} compiled, {cached}, in {compiled.seconds:.1f} s")
    tell(
        f"{out}: {spoken.duration:.2f} s of speech, {spoken.tokens} speech tokens, "
        f"real-time factor {seconds['all'] / spoken.duration:.2f}"
    )


def _as_json(out: str, spoken: _Spoken, seconds: dict[str, float], compiled: "CompileCount") -> str:
    programs = {
        "compiled": compiled.compiled,
        "cached": compiled.cached,
        "whole": compiled.whole,
        "seconds": round(compiled.seconds, 4),
    }
    report = {
        "out": out,
        "seconds": round(spoken.duration, 5),
        "sample_rate": spoken.sample_rate,
        "tokens": spoken.tokens,
        "fallbacks": spoken.fallbacks,
        "stages": {stage: round(value, 4) for stage, value in seconds.items()},
        "real_time_factor": round(seconds["all"] / spoken.duration, 4),
        "programs": programs,
    }
    return json.dumps(report)
