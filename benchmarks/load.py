"""The server under load: many clients at once, some of which leave and some of which send nonsense.

    python -m benchmarks.load --weights weights/embedded [--clients 200] [--requests 2000] [--minutes 0] [--json FILE]

Starts `cosy-jax serve` on a port of its own. A tenth of the requests leave after their first bytes, a tenth are
malformed; every other answer is compared with the same request asked alone before. With `--minutes` it goes on for so
long instead of a number of requests. Exit status 1 where an answer was wrong or lost, or a stream goes on that nobody
hears.
"""

import argparse
import asyncio
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import numpy as np

from benchmarks.machine import describe_machine
from benchmarks.table import Figure, add_json_option, print_figures, write_figures

TEXTS = ("Good morning.", "How are you?", "One, two, three.", "Thank you.", "See you soon.")
SEEDS = 4
RECORDING = Path(__file__).parents[1] / "tests" / "data" / "slt.flac"
TRANSCRIPT = "The student's mother measured a poor brown kettle for twelve pounds in the afternoon."
CLOSE = 8  # of 32768: what rounding beside other streams makes of a vocoder of random weights
TIMEOUT = 600.0
SETTLING = 30  # seconds
MALFORMED: tuple[dict[str, object], ...] = (
    {},
    {"input": ""},
    {"input": "Hello.", "voice": "nobody"},
    {"input": "Hello.", "voice": "anna", "speed": 100},
    {"input": "x" * 10_000, "voice": "anna"},
    {"input": "Hello.", "voice": "anna", "prompt_audio": "%%%"},
)


@dataclass
class Tally:
    """What came of the requests."""

    results: Counter[str] = field(default_factory=Counter)
    first: list[float] = field(default_factory=list)  # seconds to the first bytes
    audio: float = 0.0  # seconds
    resident: list[float] = field(default_factory=list)  # memory of the server, MB


@contextmanager
def server(weights: str) -> Iterator[tuple[str, int]]:
    """Its address and process number; ready, with the voice anna."""
    with tempfile.TemporaryDirectory() as voices:
        command = [sys.executable, "-m", "cosy_jax", "serve", "--weights", weights, "--voices", voices, "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            lines = (re.search(r"listening on (http://[^\s,]+)", line) for line in process.stderr)
            if (found := next(filter(None, lines), None)) is None:
                raise SystemExit("The server did not start.")
            drain = subprocess.Popen(["cat"], stdin=process.stderr, stdout=subprocess.DEVNULL)
            try:
                wait_until_ready(found[1], process)
                save_voice(found[1])
                yield found[1], process.pid
            finally:
                process.terminate()
                process.wait()
                drain.wait()


def wait_until_ready(address: str, process: subprocess.Popen[str]) -> None:
    while process.poll() is None:
        try:
            if httpx2.get(f"{address}/ready").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(1)
    raise SystemExit(f"The server ended with status {process.returncode}.")


def save_voice(address: str) -> None:
    answer = httpx2.post(
        f"{address}/v1/audio/voices",
        files={"audio_sample": ("p.flac", RECORDING.read_bytes())},
        data={"name": "anna", "ref_text": TRANSCRIPT},
        timeout=TIMEOUT,
    )
    answer.raise_for_status()


def body(text: str, seed: int) -> dict[str, object]:
    return {"input": text, "voice": "anna", "seed": seed, "response_format": "pcm"}


def samples(data: bytes) -> np.ndarray:
    return np.frombuffer(data, "<i2").astype(np.int32)


async def ask(client: httpx2.AsyncClient, kind: str, expected: dict[tuple[str, int], np.ndarray], tally: Tally) -> None:
    """One request of a kind ("whole", "left" or "malformed")."""
    if kind == "malformed":
        status = (await client.post("/v1/audio/speech", json=random.choice(MALFORMED))).status_code
        tally.results["malformed: refused" if 400 <= status < 500 else f"malformed: {status}"] += 1
        return
    key = random.choice(list(expected))
    began, data = time.perf_counter(), b""
    async with client.stream("POST", "/v1/audio/speech", json=body(*key)) as response:
        if response.status_code != 200:
            tally.results[f"status {response.status_code}"] += 1
            return
        async for part in response.aiter_raw():
            if not data:
                tally.first.append(time.perf_counter() - began)
            data += part
            if kind == "left":
                tally.results["left"] += 1
                return
    tally.audio += len(data) / 48_000
    wanted, heard = expected[key], samples(data)
    right = wanted.shape == heard.shape and np.abs(wanted - heard).max() <= CLOSE
    tally.results["right" if right else "wrong"] += 1


async def load(args: argparse.Namespace, address: str, pid: int) -> tuple[Tally, float]:
    """All requests, from as many clients at a time; the seconds that they took."""
    tally, left = Tally(), args.requests
    limits = httpx2.Limits(max_connections=args.clients)
    async with httpx2.AsyncClient(base_url=address, timeout=TIMEOUT, limits=limits) as client:
        alone = {}
        for key in [(text, seed) for text in TEXTS for seed in range(SEEDS)]:
            alone[key] = samples((await client.post("/v1/audio/speech", json=body(*key))).content)
        began = time.perf_counter()
        end = began + 60 * args.minutes

        async def one_client() -> None:
            nonlocal left
            while (time.perf_counter() < end) if args.minutes else left > 0:
                left -= 1
                kind = random.choices(("whole", "left", "malformed"), (8, 1, 1))[0]
                try:
                    await ask(client, kind, alone, tally)
                except httpx2.HTTPError as error:
                    tally.results[type(error).__name__] += 1

        async def watch() -> None:
            while True:
                tally.resident.append(resident(pid))
                await asyncio.sleep(2)

        watching = asyncio.ensure_future(watch())
        await asyncio.gather(*(one_client() for _ in range(args.clients)))
        watching.cancel()
        seconds = time.perf_counter() - began
        tally.resident.append(resident(pid))
        if left_over := await unheard(client):
            tally.results["streams that nobody hears"] = left_over
    return tally, seconds


async def unheard(client: httpx2.AsyncClient) -> int:
    """Requests that the server still has, once all clients have gone; the last ones may end yet."""
    for _ in range(SETTLING):
        metrics = (await client.get("/metrics")).text
        count = sum(int(float(value)) for value in re.findall(r"^cosy_jax_(?:active|queued) (\S+)$", metrics, re.M))
        if not count:
            return 0
        await asyncio.sleep(1)
    return count


def resident(pid: int) -> float:
    """Memory of a process, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024  # type: ignore[index]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--minutes", type=float, default=0)
    add_json_option(parser)
    args = parser.parse_args()
    random.seed(0)
    print(describe_machine())
    with server(args.weights) as (address, pid):
        tally, seconds = asyncio.run(load(args, address, pid))
    middle = len(tally.resident) // 2
    figures = [Figure(f"answers: {name}", count, "") for name, count in sorted(tally.results.items())]
    figures += [Figure(f"first bytes p{p}", float(np.percentile(tally.first, p)), "s") for p in (50, 95, 99)]
    figures += [
        Figure("audio a second", tally.audio / seconds, "s/s"),
        Figure("memory, first half", statistics.median(tally.resident[:middle]), "MB"),
        Figure("memory, second half", statistics.median(tally.resident[middle:]), "MB"),
    ]
    print_figures(figures)
    write_figures(args.json, figures)
    return 0 if set(tally.results) <= {"right", "left", "malformed: refused"} else 1


if __name__ == "__main__":
    sys.exit(main())
