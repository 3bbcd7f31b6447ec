"""A stage can learn eight utterances by heart, which tells that its gradients go where they should."""

import io
import itertools

import jax
import numpy as np
import pytest
import soundfile

from cosy_jax.checkpoint.integrity import load_tokenizer, open_folder
from cosy_jax.train.flow.task import FlowTask
from cosy_jax.train.initial import draw_initial
from cosy_jax.train.learner import Learner
from cosy_jax.train.llm.task import LLMTask
from cosy_jax.train.optimiser import make_optimiser
from cosy_jax.train.parametrisation import Whole
from cosy_jax.train.settings import TrainSettings
from tests.conftest import TINY
from tests.train.dataset import RECORDING, utterance

CONFIG = open_folder(TINY)
COUNT, BATCHES, DRAWS = 8, 8, 8


def utterances():
    """About a second each, from different places of the recording."""
    samples, rate = soundfile.read(io.BytesIO(RECORDING), dtype="float32")
    for number in range(COUNT):
        tokens, begin = 24 + number, int(0.4 * number * rate)
        part = io.BytesIO()
        soundfile.write(part, samples[begin : begin + tokens * rate // 25], rate, format="WAV", subtype="FLOAT")
        yield utterance(number, tokens, read_recording=part.getvalue)


def before_and_after(stage, task, size, settings):
    """Mean figures of the eight, with fixed draws."""
    learner = Learner(task.loss, Whole(), make_optimiser(settings), settings.ema)
    state = learner.init(draw_initial(stage, CONFIG, 0))
    key, rows = jax.random.key(0), list(utterances())
    batches = [task.batch(rows, size, [(batch, row) for row in range(COUNT)]) for batch in range(BATCHES)]

    def evaluated():
        found = [learner.evaluate(state, {}, batches[0], jax.random.key(1000 + draw)).means() for draw in range(DRAWS)]
        return {name: float(np.mean([figures[name] for figures in found])) for name in found[0]}

    before = evaluated()
    for step, batch in zip(range(settings.steps), itertools.cycle(batches), strict=False):
        state, _ = learner.step(state, {}, [batch], jax.random.fold_in(key, step))
    return before, evaluated()


@pytest.mark.slow
def test_the_language_model_knows_eight_utterances_by_heart():
    settings = TrainSettings(steps=150, learning_rate=5e-3, warmup=20, schedule="cosine")
    task = LLMTask(CONFIG, load_tokenizer(TINY, CONFIG), settings, None)
    before, after = before_and_after("llm", task, 128, settings)
    assert before["accuracy"] < 0.05 and after["accuracy"] > 0.99


@pytest.mark.slow
def test_the_flow_knows_eight_utterances_by_heart():
    settings = TrainSettings(steps=300, learning_rate=4e-3, warmup=20, schedule="cosine", dropout=0.0)
    before, after = before_and_after("flow", FlowTask(CONFIG, settings), 100, settings)
    assert after["loss"] < before["loss"] / 10
