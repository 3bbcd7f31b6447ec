"""Lines and entries for the tests of the cluster."""

import numpy as np

from cosy_jax.batch.entries import Outcome, spoken_entry
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.origin import Origin
from cosy_jax.cluster.job import Job
from cosy_jax.synthesis.request import Request
from tests.conftest import TINY
from tests.reference import REPOSITORY

RECORDING = REPOSITORY / "tests" / "data" / "prompt_0.flac"
ORIGIN = Origin("1a", "2b", "3c", "4d")


def line(number, **fields):
    request = Request("Good.", recording=RECORDING, transcript="This.", seed=number)
    return Line(number, f"k{number}", request, **({"wav": f"k{number}.wav", "origin": ORIGIN} | fields))


def entry(number, run=1, **fields):
    outcome = Outcome(line(number), seconds=1.5, tokens=30, stages={"flow": 0.25})
    return spoken_entry(outcome, run, "5e") | fields


def job(storage, **fields):
    given = {
        "weights": str(TINY),
        "llm": "base",
        "adapter": None,
        "voices": None,
        "dtype": "float32",
        "cache": "off",
        "verbose": False,
        "slots": None,
        "flow_rows": None,
        "model_parallel": 1,
        "storage": storage,
        "layout": "files",
        "form": "jsonl",
        "run": 1,
    }
    return Job(**(given | fields))


def samples(seed, count=2400):
    return np.random.default_rng(seed).uniform(-0.5, 0.5, count).astype(np.float32)
