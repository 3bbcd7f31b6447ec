"""Ports with one thing broken, and what a diagnosis says of them."""

import dataclasses

import jax.numpy as jnp

from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.locate.diagnosis import diagnose
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY
from tests.reference import REPOSITORY

TRACES = REPOSITORY / "tests" / "data" / "traces"


def port(precision=FLOAT32):
    """A whole one, its parameters its own."""
    return Synthesizer(TINY, llm="base", precision=precision)


def with_params(stage, path, change):
    """The leaf at '/'-joined `path` of a stage's parameters changed."""
    broken = port()
    *parents, leaf = path.split("/")
    node = broken.params(stage)
    for key in parents:
        node = node[key]
    node[leaf] = change(node[leaf])
    return broken


def with_config(stage, **settings):
    """Other settings of one stage."""
    broken = port()
    part = dataclasses.replace(getattr(broken.config, stage), **settings)
    broken.config = dataclasses.replace(broken.config, **{stage: part})
    return broken


def perturbed(weights):
    """Off by one percent of the weights' size, by fixed values that look random."""
    noise = jnp.sin(1e3 * jnp.arange(1.0, 1 + weights.size)).reshape(weights.shape) * 2**0.5
    return weights + 0.01 * jnp.std(weights) * noise


def transposed(weights):
    """Input and output exchanged."""
    return jnp.swapaxes(weights, -1, -2)


def findings(synthesizer, folder, name):
    """What is found in the dumps with `name` in theirs, laid into an empty folder."""
    for path in TRACES.glob(f"*{name.replace('vocoder', 'hift')}*.safetensors"):
        (folder / path.name).symlink_to(path)
    return diagnose(synthesizer, folder).findings
