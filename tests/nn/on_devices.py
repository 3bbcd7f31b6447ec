"""Run by test_devices.py in a process that sees several devices: the stages on all of them against one of them.

python -m tests.nn.on_devices MODEL_AXIS
"""

import json
import sys

import jax
import numpy as np

from cosy_jax.flow.tracks import Step, Tracks
from cosy_jax.llm.continuous import Batching, ContinuousDecoder, Job
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.devices import ONE_DEVICE, local_devices
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY
from tests.llm.test_continuous import jobs


def decode(synthesizer: Synthesizer, work: list[Job]) -> dict[int, list[int]]:
    decoder = ContinuousDecoder(
        synthesizer.params("llm"),
        synthesizer.policy(),
        Batching(rows=8, started=synthesizer.devices.padded(1)),
        place=synthesizer.devices.rows,
    )
    return {result.tag: result.ids.tolist() for result in decoder.run(work)}


def mel_in_pieces(synthesizer: Synthesizer, prompt: Prompt) -> tuple[np.ndarray, int, int]:
    """Mel of an utterance a chunk at a time; programs compiled for its last two pieces, which are of one shape; arrays
    of pages of which a device has a part."""
    tracks = Tracks(
        synthesizer.params("flow"), synthesizer.config.flow, FLOAT32, pages=6, slots=1, place=synthesizer.devices.heads
    )
    track, tokens = tracks.begin(), np.arange(200, dtype=np.int32)
    mels = [tracks.solve([Step(track, tokens, until, prompt)])[0] for until in (25, 50)]
    with count_compilations() as count:
        mels += [tracks.solve([Step(track, tokens, until, prompt)])[0] for until in (75, 100)]
    return np.concatenate(mels), count.compiled, _split_pages()


def _split_pages() -> int:
    pages = [array for array in jax.live_arrays() if array.ndim == 6]
    return sum(array.sharding.shard_shape(array.shape) != array.shape for array in pages)


def main() -> None:
    devices = local_devices(model=int(sys.argv[1]))
    alone, together = (Synthesizer(TINY, llm="base", devices=where) for where in (ONE_DEVICE, devices))
    voice = alone.voice("tests/data/prompt_0.flac", "What is said.")
    work = list(jobs(alone.config.llm, 12))
    items = [(np.arange(20 + 3 * row, dtype=np.int32), voice.prompt) for row in range(5)]
    mels = alone.mels(items)
    pieces, *_ = mel_in_pieces(alone, voice.prompt)
    pieces_together, compiled, split_pages = mel_in_pieces(together, voice.prompt)
    report = {
        "devices": len(jax.devices()),
        "data": devices.data,
        "ids": decode(alone, work) == decode(together, work),
        "split": sum(
            not leaf.sharding.is_fully_replicated
            for stage in ("llm", "flow")
            for leaf in jax.tree.leaves(together.params(stage))
        ),
        "pieces": float(np.abs(pieces - pieces_together).max()),
        "compiled again": compiled,
        "split pages": split_pages,
        "mel": max(float(np.abs(a - b).max()) for a, b in zip(mels, together.mels(items), strict=True)),
        "audio": max(
            float(np.abs(a - b).max()) for a, b in zip(alone.vocode_all(mels), together.vocode_all(mels), strict=True)
        ),
        "voice": np.array_equal(
            together.voice("tests/data/prompt_0.flac").prompt.speech_tokens, voice.prompt.speech_tokens
        ),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
