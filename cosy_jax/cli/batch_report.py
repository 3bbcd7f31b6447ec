"""What `cosy-jax batch` shows while it runs and when it is done."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.table import Table

from cosy_jax.cli.output import console, progress_bar, say, status
from cosy_jax.synthesis.stage import Stage
from cosy_jax.text.escape import escaped

if TYPE_CHECKING:
    from cosy_jax.batch.entries import Outcome
    from cosy_jax.batch.stats import Stats
    from cosy_jax.nn.compile_log import CompileCount

_BAR_SECONDS, _LINE_SECONDS = 0.2, 30.0
_UNVERIFIED = "spoken by a version that did not record what from, and taken as they are; --force speaks them again"


def watch(work: Callable[[], None], stats: "Stats", total: int) -> None:
    """Runs `work` in a thread, so that this one is free for Ctrl-C, and shows its progress on standard error: a bar,
    or where that is no terminal, a line every 30 s. Raises what `work` raises."""
    terminal = status.is_terminal
    with ThreadPoolExecutor(1) as pool, progress_bar() as bar:
        task = bar.add_task("starting", total=total)
        running = pool.submit(work)
        while not wait([running], _BAR_SECONDS if terminal else _LINE_SECONDS).done:
            line = progress_line(stats, total)
            bar.update(task, description=line, completed=stats.lines + stats.skipped)
            if not terminal:
                status.print(line, soft_wrap=True)
        running.result()


def progress_line(stats: "Stats", total: int) -> str:
    """Lines done of `total`, segments of long texts, seconds of audio, real-time factor and the time that is left."""
    done, elapsed = stats.lines + stats.skipped, stats.elapsed
    parts = [f"{done}/{total} lines"]
    if stats.segments:
        parts.append(f"{stats.segments_done}/{stats.segments} segments of long texts")
    parts.append(f"{stats.audio_seconds:.0f} s of audio")
    if stats.audio_seconds:
        parts.append(f"real-time factor {elapsed / stats.audio_seconds:.3f}")
    if stats.lines:
        parts.append(f"{timedelta(seconds=round(elapsed / stats.lines * (total - done)))} left")
    return ", ".join(parts)


def print_summary(stats: "Stats", compiled: "CompileCount") -> None:
    """What was done, at which speed, on standard output."""
    table = Table("batch", "", box=None, show_header=False)
    for title, value in _summary(stats, compiled).items():
        table.add_row(title, value)
    console.print(table)


def _summary(stats: "Stats", compiled: "CompileCount") -> dict[str, str]:
    elapsed, decoding = stats.elapsed, stats.busy[Stage.LANGUAGE_MODEL]
    rows = {
        "lines": f"{stats.lines - stats.failed} spoken, {stats.failed} failed, {stats.skipped} spoken earlier",
        "again": ", ".join(f"{count} because {reason}" for reason, count in stats.again.items()),
        "not verified": f"{stats.unverified} {_UNVERIFIED}" if stats.unverified else "",
        "audio": f"{stats.audio_seconds:.1f} s in {elapsed:.1f} s",
        "prompts": f"{stats.prompts} encoded or loaded, used again {stats.prompt_hits} times",
        "slots in use": f"{stats.utilisation:.1%}",
        "padding": f"flow {stats.flow_waste:.1%}, vocoder {stats.vocoder_waste:.1%} of the frames",
        "busy": ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in stats.busy.items()),
        "programs": f"{compiled.compiled} compiled, {compiled.cached} from the cache, in {compiled.seconds:.1f} s",
    }
    if stats.audio_seconds:
        rows["audio"] += f", real-time factor {elapsed / stats.audio_seconds:.3f}"
    if decoding:
        rows["speech tokens"] = f"{stats.tokens}, {stats.tokens / decoding:.1f} a second of the language model"
    return {title: value for title, value in rows.items() if value}


def print_failures(failures: "Sequence[Outcome]", failed: int, unrecorded: int) -> None:
    """The first failures, on standard error, and how many outcomes the results file has no entry of."""
    for outcome in failures:
        name = outcome.line.key if outcome.line.key is not None else f"line {outcome.line.number}"
        say(escaped(f"{name}: {outcome.error}"))
    if failed > len(failures):
        recorded = "" if unrecorded else ": the results file has all of them"
        status.print(f"and {failed - len(failures)} more{recorded}")
    if unrecorded:
        status.print(f"{unrecorded} outcomes could not be recorded: make room and start again")
