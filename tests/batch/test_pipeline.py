"""Many utterances at once are what each is alone."""

import threading
from pathlib import Path

import numpy as np
import pytest

from cosy_jax.batch.manifest import Line
from cosy_jax.batch.messages import Failed, Spoken
from cosy_jax.batch.pipeline import Settings, run_batch
from cosy_jax.batch.stats import Stats
from cosy_jax.compare.snr import snr_db
from cosy_jax.flow.cfm import solve
from cosy_jax.flow.inputs import flow_bucket
from cosy_jax.llm.continuous import Batching
from cosy_jax.nn import buckets
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.text.normalise import FrontendOptions
from tests.reference import REPOSITORY

RECORDINGS = REPOSITORY / "tests" / "data"
LONG = "The little harbour town wakes before the sun, and the first boats leave while it is dark. " * 9
SETTINGS = Settings(Batching(rows=4, block=16), flow_rows=4)


def line(number, text="Good morning.", **fields):
    recording = RECORDINGS / f"prompt_{number % 2}.flac"
    given = {"recording": recording, "transcript": "What is said.", "seed": number, **fields}
    return Line(number, f"line-{number}", Request(text, **given), f"line-{number}.wav")


LINES = [
    line(0),
    line(1, "How are you today, and how was the journey?"),
    line(2, LONG),
    line(3, "Guten Morgen.", mode="cross-lingual", transcript=None),
    line(4, speed=1.3),
    line(5, recording=Path("nowhere.wav")),
    line(6, instruct="Whisper."),
    line(7, "word " * 3000, frontend=FrontendOptions(enabled=False)),
    line(8, "One, two, three, four, five, six, seven."),
    line(9, voice="nobody", recording=None, transcript=None),
]
BAD = {"line-5": "nowhere.wav", "line-7": "split the text", "line-9": "nobody"}


def run(synthesizer, lines, settings=SETTINGS, stop=None, stats=None):
    outcomes = {}

    def deliver(finished):
        outcome = finished.outcome
        assert outcome.line.key not in outcomes and isinstance(finished, Failed if outcome.error else Spoken)
        outcomes[outcome.line.key] = (outcome, finished.audio if isinstance(finished, Spoken) else None)

    stats = stats or Stats()
    stop = stop or threading.Event()
    run_batch(synthesizer, iter(lines), deliver, settings, stats, stop)
    return outcomes, stats


@pytest.fixture(scope="module")
def spoken(synthesizer):
    return run(synthesizer, LINES)


@pytest.mark.slow
def test_each_line_is_what_it_is_alone(synthesizer, spoken):
    outcomes, _ = spoken
    for item in LINES:
        outcome, audio = outcomes[item.key]
        if item.key in BAD:
            assert BAD[item.key] in outcome.error and audio is None
            continue
        alone = synthesizer.speak(item.request)
        assert outcome.tokens == len(alone.tokens) and outcome.fallbacks == alone.fallbacks
        assert len(audio) == len(alone.audio) and snr_db(audio, alone.audio) >= 60
        assert outcome.seconds == pytest.approx(alone.duration)
        assert outcome.stages.keys() == {"prompt", "language model", "flow", "vocoder"}


@pytest.mark.slow
def test_each_prompt_is_encoded_once(spoken):
    _, stats = spoken
    # Two recordings, one that is not there and a voice that is not there.
    assert stats.prompts == 4 and stats.prompt_hits == len(LINES) - 4


@pytest.mark.slow
def test_the_counts_add_up(spoken):
    outcomes, stats = spoken
    good = [outcome for outcome, _ in outcomes.values() if not outcome.error]
    assert 0 < stats.useful_slot_steps <= stats.slot_steps
    assert sum(outcome.tokens for outcome in good) <= stats.useful_slot_steps
    assert 0 < stats.flow_frames <= stats.flow_padded and 0 < stats.vocoder_frames <= stats.vocoder_padded
    assert all(stats.busy[stage] > 0 for stage in (Stage.PROMPT, Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER))
    assert stats.timeline
    assert stats.segments == stats.segments_done > 1  # those of one line


@pytest.mark.slow
def test_the_same_lines_compile_nothing_new(synthesizer, spoken):
    with count_compilations() as compiled:
        outcomes, _ = run(synthesizer, LINES)
    assert compiled.programs == 0
    for key, (_, audio) in outcomes.items():
        np.testing.assert_array_equal(audio, spoken[0][key][1])


@pytest.mark.slow
def test_the_buckets_bound_the_programs(synthesizer, monkeypatch):
    """A program a length and a batch size, whatever the lines are."""
    shapes, whole = set(), Synthesizer.mels

    def noted(self, items):
        length = max(len(prompt.speech_tokens) + len(tokens) for tokens, prompt in items)
        shapes.add((flow_bucket(length), len(items)))
        return whole(self, items)

    monkeypatch.setattr(Synthesizer, "mels", noted)
    solve.clear_cache()
    run(synthesizer, [line(number, "word " * (1 + number % 5)) for number in range(24)])
    assert solve._cache_size() == len(shapes) < 24
    assert {bucket for bucket, _ in shapes} <= set(buckets.SPEECH_TOKENS) and {rows for _, rows in shapes} <= {1, 4}


@pytest.mark.slow
def test_lines_are_taken_as_they_are_needed(synthesizer):
    stop, taken = threading.Event(), []

    def endless():
        number = 0
        while True:
            taken.append(number)
            yield line(number)
            number += 1
            if number == 12:
                stop.set()

    outcomes, stats = run(synthesizer, endless(), stop=stop)
    # What was begun is delivered, what only waited is left for the next run.
    assert 0 < len(outcomes) < len(taken) <= 13
    assert not any(outcome.error for outcome, _ in outcomes.values())


@pytest.mark.slow
def test_a_fault_of_the_program_is_raised(synthesizer):
    def broken():
        yield line(0)
        raise RuntimeError("the manifest caught fire")

    with pytest.raises(RuntimeError, match="caught fire"):
        run(synthesizer, broken())


@pytest.mark.slow
def test_a_batch_too_large_for_the_memory_is_halved(synthesizer, monkeypatch):
    import jax

    whole = Synthesizer.mels

    def small(self, items):
        if len(items) > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return whole(self, items)

    monkeypatch.setattr(Synthesizer, "mels", small)
    outcomes, _ = run(synthesizer, [line(number) for number in (0, 2, 4, 6)])
    assert len(outcomes) == 4 and not any(outcome.error for outcome, _ in outcomes.values())
