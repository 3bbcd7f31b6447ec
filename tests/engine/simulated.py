"""A device that takes time by a clock of its own and computes nothing, for the scheduler's tests."""

from dataclasses import dataclass, field

import jax
import numpy as np

from cosy_jax.config import FlowConfig, ModelConfig, VocoderConfig
from cosy_jax.engine.limits import Budget, Limits
from cosy_jax.engine.scheduler import Scheduler
from cosy_jax.engine.streams import Stream, Work
from cosy_jax.engine.ticket import Ticket
from cosy_jax.flow.tracks import Tracks
from cosy_jax.llm.context import Context
from cosy_jax.llm.rows import RowCounts
from cosy_jax.llm.seat import Drawn
from cosy_jax.llm.speech_lm import TokenRow
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.voice import Voice
from cosy_jax.vocoder.streaming import init_state

CONFIG = ModelConfig(flow=FlowConfig(depth=1, dim=4, heads=1, head_dim=2, num_steps=1), vocoder=VocoderConfig())
SAMPLES = CONFIG.vocoder.samples_per_frame


@dataclass
class Clock:
    """Seconds, which pass when something is computed."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Costs:
    """Seconds of a step of the language model, of a batch of pieces and of each row in it."""

    step: float = 0.004
    batch: float = 0.02
    row: float = 0.01


class Rows:
    """Draws what it is asked for: a context's max_new ids."""

    def __init__(self, clock, costs, places):
        self.clock, self.costs, self.places, self.left, self.steps = clock, costs, places, {}, 0

    @property
    def counts(self):
        return RowCounts(self.places - len(self.left), len(self.left), 0, self.places, 0, self.steps, 0)

    def add(self, requests):
        self.left |= {tag: context.max_new for tag, context in requests}

    def drop(self, tag):
        self.left.pop(tag, None)

    def advance(self, steps):
        self.clock.now += steps * self.costs.step
        self.steps += steps
        news = []
        for tag, left in list(self.left.items()):
            drawn = min(steps, left)
            self.left[tag] -= drawn
            news.append(Drawn(tag, [7] * drawn, drawn == left, 0))
            if drawn == left:
                del self.left[tag]
        return news


class Batches(Tracks):
    """Notes what is solved together."""

    def __init__(self, clock, costs, pages, slots):
        super().__init__({}, CONFIG.flow, FLOAT32, pages, slots)
        self.clock, self.costs, self.seen = clock, costs, []

    def compute(self, pieces):
        self.clock.now += self.costs.batch + len(pieces) * self.costs.row
        self.seen.append(pieces)
        frames = max(piece.frames(CONFIG.flow) for piece in pieces)
        return np.zeros((len(pieces), frames, CONFIG.flow.mel_bands), np.float32)


@dataclass
class Simulated:
    """The device's interface."""

    rows: Rows
    tracks: Batches
    side_by_side: bool = False
    whole: list = field(default_factory=list)

    def beside(self, compute, given):
        return lambda: compute(given)

    def silence(self):
        return init_state(CONFIG.vocoder)

    def vocode(self, steps):
        return [(np.zeros(len(step.mel) * SAMPLES, np.float32), step.state) for step in steps]

    def speak(self, items):
        self.whole.append(len(items))
        return [np.zeros(2 * len(tokens) * SAMPLES, np.float32) for tokens, *_ in items]


def scheduler(limits=None, costs=None, streams=8, pages=200, begins=None, side_by_side=False):
    """A scheduler over a simulated device, the device, and its clock. Nobody reads until all is spoken."""
    clock, costs = Clock(), costs or Costs()
    budget = Budget(streams, (1, 2, 4, 8), 4, begins or streams, pages, 2 * streams, 1, 1)
    device = Simulated(Rows(clock, costs, streams), Batches(clock, costs, pages, 2 * streams), side_by_side)
    return Scheduler(device, CONFIG, budget, limits or Limits(ahead=1e6), clock), device, clock


def voice(tokens=60, seed=0):
    random = np.random.default_rng(seed)
    mel = random.normal(size=(2 * tokens, 80)).astype(np.float32)
    prompt = Prompt(random.integers(0, 6561, tokens).astype(np.int32), mel, np.ones(192, np.float32))
    return Voice(prompt, "Some words.")


def context(length):
    return Context(TokenRow(np.zeros(4, np.int32), np.zeros(4, bool)), jax.random.key(0), 0, length)


def stream(clock, *lengths, of=None, whole=False):
    """A request of segments of so many speech tokens."""
    ticket = Ticket(CONFIG.sample_rate, lambda: None)
    return Stream(ticket, Work(of or voice(), [context(length) for length in lengths], whole), clock())


def run(scheduler, most=10_000):
    """Turns until nothing is left."""
    for _ in range(most):
        if not scheduler.turn() and not scheduler.busy:
            return
    raise AssertionError("It does not end.")
