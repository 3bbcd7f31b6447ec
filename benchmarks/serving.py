"""Many streams at once: the engine, and the same requests one after the other, with the cached solver and with the
exact one, which is what other servers compute; or whole, by the engine and by the pipeline of the batch command.

    python -m benchmarks.serving --weights weights/random --dtype bfloat16 [--streams 1 4 16] [--voices saved|fresh]
        [--arrivals burst|RATE] [--sides engine cached exact whole batch] [--rounds 2] [--json FILE]

First audio is counted from when a request is made, one after the other from when its turn comes. A listener plays what
has come: `waits over` is the share of streams whose listener waited longer than that in all, after the first piece.
The sides take turns, `--rounds` times, and the figures are the medians; the programs are compiled before.
"""

import argparse
import resource
import statistics
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import jax
import numpy as np
from rich.progress import Progress

from benchmarks.machine import describe_machine
from benchmarks.options import add_cache_option, add_dtype_option
from benchmarks.table import Figure, add_json_option, print_table, write_figures
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import Failed, Finished
from cosy_jax.batch.pipeline import Settings, run_batch
from cosy_jax.batch.stats import Stats
from cosy_jax.engine.engine import Engine
from cosy_jax.engine.limits import Limits
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import get_precision
from cosy_jax.synthesis.request import Request, StreamOptions
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.synthesis.voice import Voice
from cosy_jax.synthesis.voices import list_voices, weights_voices

TEXTS = (
    "Good morning, and thank you for calling.",
    "Your table for four is booked, at half past seven on Friday evening.",
    "The next train to the harbour leaves from platform two.",
    "I am sorry, but nobody is at home today.",
    "Please turn left at the church, and then take the second street on the right.",
    "It will be cold and windy in the north, with some rain towards the evening.",
    "Would you like to hear the message again?",
    "The parcel was left with your neighbour.",
)
WAITS = (0.05, 0.1, 0.2)  # seconds
RECORDING_SECONDS = 5
VOICES = 4
SOLVERS = ("cached", "exact")
OFFLINE = ("whole", "batch")


@dataclass(frozen=True)
class Heard:
    """One stream, as its listener had it: seconds to the first piece, seconds of silence after it, and of audio."""

    first: float
    waited: float
    audio: float


@dataclass(frozen=True)
class Run:
    """All streams of a round, and how long it took."""

    heard: list[Heard]
    seconds: float

    @property
    def rate(self) -> float:
        """Seconds of audio a second."""
        return sum(each.audio for each in self.heard) / self.seconds

    def first(self, percent: float) -> float:
        """That percentile of the times to the first piece."""
        return float(np.percentile([each.first for each in self.heard], percent))

    def late(self, seconds: float) -> float:
        """Share of streams whose listener waited longer."""
        return statistics.mean(each.waited > seconds for each in self.heard)


def make_requests(synthesizer: Synthesizer, count: int, saved: bool, seed: int) -> list[Request]:
    """Texts in turn, in four voices that are known, or each with a recording of its own."""
    random = np.random.default_rng(seed)

    def recording() -> tuple[np.ndarray, int]:
        """Noise that swells and falls as syllables do."""
        time = np.arange(RECORDING_SECONDS * 16_000) / 16_000
        swell = 0.55 + 0.45 * np.sin(2 * np.pi * (4 * time + random.uniform()))
        return (0.1 * swell * random.standard_normal(len(time))).astype(np.float32), 16_000

    said = "These are the words of a recording that lasts some seconds."
    if saved:
        brought = [info.name for info in list_voices((weights_voices(synthesizer.weights),))]
        voices: list[str | Voice] = [*brought] or [synthesizer.voice(recording(), said) for _ in range(VOICES)]
        return [Request(TEXTS[i % len(TEXTS)], voice=voices[i % len(voices)], seed=i) for i in range(count)]
    requests = (Request(TEXTS[i % len(TEXTS)], recording=recording(), transcript=said, seed=i) for i in range(count))
    return list(requests)


def listen(pieces: Iterable[np.ndarray], asked: float, rate: int) -> Heard:
    """Takes a stream's pieces as they come."""
    first, waited, audio, dry = 0.0, 0.0, 0.0, 0.0
    for piece in pieces:
        now = time.perf_counter()
        if not audio:
            first = dry = now
        waited += max(now - dry, 0.0)
        audio += len(piece) / rate
        dry = max(dry, now) + len(piece) / rate
    return Heard(first - asked, waited, audio)


def by_engine(engine: Engine, requests: Sequence[Request], gaps: Iterator[float], rate: int) -> Run:
    """All requests, one every gap, each with a listener of its own."""
    heard: list[Heard] = []
    begin = time.perf_counter()
    threads = []
    for request, gap in zip(requests, gaps, strict=False):
        time.sleep(gap)
        asked, ticket = time.perf_counter(), engine.submit(request)
        thread = threading.Thread(target=lambda t=ticket, a=asked: heard.append(listen(t, a, rate)))
        thread.start()
        threads.append(thread)
    for thread in threads:
        thread.join()
    return Run(heard, time.perf_counter() - begin)


def one_by_one(synthesizer: Synthesizer, requests: Sequence[Request], solver: str) -> Run:
    """The same, each when the one before it has ended."""
    begin, heard = time.perf_counter(), []
    for request in requests:
        asked = time.perf_counter()
        pieces = synthesizer.stream(request, StreamOptions(solver))
        heard.append(listen(pieces, asked, synthesizer.config.sample_rate))
    return Run(heard, time.perf_counter() - begin)


def whole(engine: Engine, requests: Sequence[Request], rate: int) -> Run:
    """All requests at once, each as one piece."""
    begin = time.perf_counter()
    tickets = [engine.submit(request, whole=True) for request in requests]
    heard = [listen([ticket.result()], begin, rate) for ticket in tickets]
    return Run(heard, time.perf_counter() - begin)


def batch(synthesizer: Synthesizer, requests: Sequence[Request]) -> Run:
    """The same, by the pipeline of `cosy-jax batch`, whose voices have names. SystemExit where a line fails."""
    begin, heard = time.perf_counter(), []

    def deliver(finished: Finished) -> None:
        if isinstance(finished, Failed):
            raise SystemExit(f"A line failed: {finished.outcome.error}")
        heard.append(listen([finished.audio], begin, synthesizer.config.sample_rate))

    lines = (Line(n, f"{n}", request, f"{n}.wav") for n, request in enumerate(requests, 1))
    run_batch(synthesizer, lines, deliver, Settings.default(), Stats(), threading.Event())
    return Run(heard, time.perf_counter() - begin)


def gaps(arrivals: str, seed: int) -> Iterator[float]:
    """Seconds before each request: none, or those of a Poisson process of so many a second."""
    random = np.random.default_rng(seed)
    while True:
        yield 0.0 if arrivals == "burst" else float(random.exponential(1 / float(arrivals)))


def report(name: str, streams: int, runs: Sequence[Run]) -> tuple[list[str | float], list[Figure]]:
    """A row of the table and its figures: medians of the rounds."""
    figures = []

    def add(what: str, values: Iterable[float], unit: str) -> None:
        figures.append(Figure(f"{name}, {streams} streams, {what}", statistics.median(values), unit))

    for percent in (50, 95, 99):
        add(f"first audio p{percent}", [run.first(percent) for run in runs], "s")
    for wait in WAITS:
        add(f"waits over {1000 * wait:.0f} ms", [100 * run.late(wait) for run in runs], "%")
    add("audio a second", [run.rate for run in runs], "s/s")
    return [name, str(streams), *(figure.value for figure in figures)], figures


def memory() -> float:
    """Peak of the device's memory, or of the process's on a CPU, GB."""
    stats = jax.local_devices()[0].memory_stats() or {}
    return stats.get("peak_bytes_in_use", 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) / 1e9


def take_turns(args: argparse.Namespace, synthesizer: Synthesizer, engine: Engine, count: int) -> dict[str, list[Run]]:
    """Each side's rounds. The first one is left out: it compiles what is not the engine's. Fresh recordings are other
    ones in every round."""
    runs: dict[str, list[Run]] = {name: [] for name in args.sides}
    for number in range(args.rounds + 1):
        requests = make_requests(synthesizer, count, args.voices == "saved", 0 if args.voices == "saved" else number)
        for name in args.sides:
            if name == "engine":
                run = by_engine(engine, requests, gaps(args.arrivals, number), synthesizer.config.sample_rate)
            elif name == "whole":
                run = whole(engine, requests, synthesizer.config.sample_rate)
            elif name == "batch":
                run = batch(synthesizer, requests)
            else:
                run = one_by_one(synthesizer, requests[: args.alone], name)
            if number:
                runs[name].append(run)
    return runs


def measure(args: argparse.Namespace, synthesizer: Synthesizer) -> None:
    table, figures = [], []
    engine = Engine(synthesizer, Limits(streams=args.rows, queue=max(args.streams), seconds=30, recording=10))
    print(f"engine: {engine.budget}")
    with Progress() as bar:
        task = bar.add_task("compiling", total=None)
        engine.warm(lambda done, of: bar.update(task, completed=done, total=of))
    with engine:
        for count in args.streams:
            for name, runs in take_turns(args, synthesizer, engine, count).items():
                row, new = report(name, count, runs)
                table.append(row)
                figures += new
    figures.append(Figure("peak memory", memory(), "GB"))
    percentiles = [f"first p{p}, s" for p in (50, 95, 99)]
    waits = [f"waits over {1000 * wait:.0f} ms, %" for wait in WAITS]
    print_table(["side", "streams", *percentiles, *waits, "audio s/s"], table)
    print(f"peak memory {memory():.2f} GB")
    write_figures(args.json, figures)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 4, 16])
    parser.add_argument("--voices", choices=("saved", "fresh"), default="saved", help="(default: saved)")
    parser.add_argument("--arrivals", default="burst", help="'burst', or requests a second (default: burst)")
    parser.add_argument("--sides", nargs="+", choices=("engine", *SOLVERS, *OFFLINE), default=["engine", *SOLVERS])
    parser.add_argument("--alone", type=int, default=8, help="requests one after the other at most (default: 8)")
    parser.add_argument("--rows", type=int, help="the engine's streams at a time (default: what suits the machine)")
    parser.add_argument("--rounds", type=int, default=2)
    add_json_option(parser)
    add_dtype_option(parser)
    add_cache_option(parser)
    args = parser.parse_args()
    start_jax(args.compile_cache)
    print(describe_machine())
    measure(args, Synthesizer(args.weights, precision=get_precision(args.dtype)))


if __name__ == "__main__":
    main()
