"""`cosy-jax synthesize --stream`: audio to a file or standard output while it is made."""

import argparse
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from cosy_jax.cli.output import progress_bar, say, standard_output

if TYPE_CHECKING:
    import numpy as np

    from cosy_jax.synthesis.request import Request, StreamOptions
    from cosy_jax.synthesis.synthesizer import Synthesizer


def speak_stream(
    args: argparse.Namespace, synthesizer: "Synthesizer", request: "Request", options: "StreamOptions"
) -> None:
    """Speak a request into --out, raw PCM to standard output where that is "-"."""
    from cosy_jax.audio.write import write_pcm, write_pieces

    start = time.perf_counter()
    arrivals: list[tuple[float, float]] = []
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
        spoken, taken = sum(seconds for _, seconds in arrivals), arrivals[-1][0]
        out = "standard output (16-bit PCM, mono, 24 kHz)" if args.out == "-" else args.out
        say(
            f"{out}: {spoken:.2f} s of speech in {len(arrivals)} pieces, the first after {arrivals[0][0]:.2f} s, "
            f"real-time factor {taken / spoken:.2f}"
        )
