"""Losses, gradients and steps of Adam are the reference's, and a slip in any of them is noticed."""

import functools

import jax.numpy as jnp
import pytest

from cosy_jax.parity.checks import training
from tests.reference import REPOSITORY

DUMPS = REPOSITORY / "tests" / "data" / "training"
LLM = ("training_llm_bistream", "training_llm_unistream")
FLOW = "training_flow_chunks"


def missed(synthesizer, dump):
    check = training.check_flow_training if dump == FLOW else training.check_llm_training
    checks = check(synthesizer, DUMPS / f"{dump}.safetensors")
    assert len(checks) >= 4
    return {check.name for check in checks if not check.ok}


@pytest.mark.slow
@pytest.mark.parametrize("dump", [*LLM, FLOW])
def test_as_the_reference(synthesizer, dump):
    assert missed(synthesizer, dump) == set()


@pytest.mark.slow
def test_targets_one_place_off(synthesizer, monkeypatch):
    def shifted(*args):
        row = real(*args)
        return row._replace(targets=jnp.roll(row.targets, 1))

    real = training.training_row
    monkeypatch.setattr(training, "training_row", shifted)
    assert {"loss", "gradients", "gradients, float64"} <= missed(synthesizer, "training_llm_bistream")


@pytest.mark.slow
def test_instruction_left_out(synthesizer, monkeypatch):
    real = training.training_row
    monkeypatch.setattr(training, "training_row", lambda instruct, *rest: real([], *rest))
    assert {"loss", "gradients"} <= missed(synthesizer, "training_llm_unistream")


@pytest.mark.slow
@pytest.mark.parametrize(("name", "value"), [("STREAMING_SHARE", 0.0), ("DROPPED_SHARE", 0.0), ("DROPOUT", 0.2)])
def test_another_recipe(synthesizer, monkeypatch, name, value):
    monkeypatch.setattr(training, name, value)
    assert {"loss", "gradients", "three Adam steps, float64"} <= missed(synthesizer, FLOW)


@pytest.mark.slow
def test_another_optimiser(synthesizer, monkeypatch):
    """Of all that is compared, the steps alone tell."""
    import optax

    monkeypatch.setattr(training.optax, "adam", functools.partial(optax.adam, b2=0.99))
    assert missed(synthesizer, "training_llm_unistream") == {"three Adam steps, float64"}
