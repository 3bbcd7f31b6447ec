"""Run by test_devices.py in a process that sees several devices: the stages on all of them against one of them.

python -m tests.nn.on_devices MODEL_AXIS
"""

import json
import sys

import jax
import numpy as np

from cosy_jax.llm.continuous import Batching, ContinuousDecoder, Job
from cosy_jax.nn.devices import ONE_DEVICE, local_devices
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


def main() -> None:
    devices = local_devices(model=int(sys.argv[1]))
    alone, together = (Synthesizer(TINY, llm="base", devices=where) for where in (ONE_DEVICE, devices))
    voice = alone.voice("tests/data/prompt_0.flac", "What is said.")
    work = list(jobs(alone.config.llm, 12))
    items = [(np.arange(20 + 3 * row, dtype=np.int32), voice.prompt) for row in range(5)]
    mels = alone.mels(items)
    report = {
        "devices": len(jax.devices()),
        "data": devices.data,
        "ids": decode(alone, work) == decode(together, work),
        "split": sum(
            not leaf.sharding.is_fully_replicated
            for stage in ("llm", "flow")
            for leaf in jax.tree.leaves(together.params(stage))
        ),
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
