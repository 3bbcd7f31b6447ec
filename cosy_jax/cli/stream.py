"""`cosy-jax synthesize --stream`: audio to a file or standard output while it is made."""

import argparse
import json
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cosy_jax.cli.output import progress_bar, put, say, standard_output

if TYPE_CHECKING:
    import numpy as np

    from cosy_jax.synthesis.request import Request, StreamOptions
    from cosy_jax.synthesis.synthesizer import Synthesizer

Arrivals = list[tuple[float, float]]  # of each piece: seconds since the start, and of audio


def speak_stream(
    args: argparse.Namespace, synthesizer: "Synthesizer", request: "Request", options: "StreamOptions"
) -> None:
    """Speak a request into --out, raw PCM to standard output where that is "-"."""
    from cosy_jax.audio.write import write_pcm, write_pieces

    start = time.perf_counter()
    arrivals: Arrivals = []
    rate = synthesizer.config.sample_rate
    with progress_bar() as bar:
        task = bar.add_task("streaming", total=None)

        def watched() -> "Iterator[np.ndarray]":
            for piece in synthesizer.stream(request, options):
                arrivals.append((time.perf_counter() - start, len(piece) / rate))
                bar.update(task, description=f"{sum(seconds for _, seconds in arrivals):.1f} s of audio")
                yield piece

        if args.out == "-":
            with standard_output():
                write_pcm(sys.stdout.buffer, watched())
        else:
            write_pieces(args.out, watched(), rate)
    if arrivals:
        _report(args, arrivals)


def _report(args: argparse.Namespace, arrivals: Arrivals) -> None:
    first, taken, spoken = arrivals[0][0], arrivals[-1][0], sum(seconds for _, seconds in arrivals)
    if args.json:
        report = {
            "out": args.out,
            "seconds": round(spoken, 5),
            "pieces": len(arrivals),
            "first_piece": round(first, 4),
            "real_time_factor": round(taken / spoken, 4),
        }
        put(json.dumps(report))
        return
    out = "standard output (16-bit PCM, mono, 24 kHz)" if args.out == "-" else args.out
    say(
        f"{out}: {spoken:.2f} s of speech in {len(arrivals)} pieces, the first after {first:.2f} s, "
        f"real-time factor {taken / spoken:.2f}"
    )
