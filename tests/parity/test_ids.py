"""The first differing id is the one that was made to differ."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from cosy_jax.parity.checks.llm import CachedDecoder, recorded_bounds, recorded_row
from cosy_jax.parity.report.ids import first_differences, top_ids
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY
from tests.reference import REPOSITORY

DUMP = REPOSITORY / "tests" / "data" / "dumps" / "llm.safetensors"
STEPS = 12  # of each run, to be quick
LAST_MASKED = recorded_bounds(DUMP)[0] - 1


@pytest.fixture(scope="module")
def recorded():
    """The dump's first steps."""
    dump = load_file(DUMP)
    for name in ("greedy_tokens", "greedy_logits", "sampled_tokens", "noise_nucleus", "fallback"):
        dump[name] = dump[name][:STEPS]
    dump["noise_full"] = dump["noise_full"][: dump["fallback"].sum()]
    return dump


@pytest.fixture
def differences(recorded, tmp_path):
    """`first_differences` of the dump with some tensors changed."""

    def find(synthesizer, **changes):
        save_file(recorded | changes, tmp_path / "llm.safetensors")
        return first_differences(synthesizer, tmp_path / "llm.safetensors")

    return find


def swapped_head(a, b):
    """The tiny model, which gives id `b` the score of `a` and the other way round."""
    broken = Synthesizer(TINY, llm="base")
    head = broken.params("llm")["speech_head"]
    head["kernel"] = head["kernel"].at[np.asarray([a, b])].set(head["kernel"][np.asarray([b, a])])
    return broken


def test_equal_ids_differ_nowhere(synthesizer, differences):
    assert differences(synthesizer) == []


def test_swapped_ids_of_a_broken_head(recorded, differences):
    greedy = recorded["greedy_tokens"].tolist()
    step = 4
    expected = greedy[step]
    assert expected not in greedy[:step]
    other = next(i for i in range(6000) if i not in greedy and i not in recorded["sampled_tokens"])
    found = differences(swapped_head(expected, other))[0]
    assert (found.run, found.step, found.ours, found.theirs) == ("greedy", step, other, expected)
    (our_ids, ours), (their_ids, theirs) = zip(*found.ours_top, strict=True), zip(*found.theirs_top, strict=True)
    assert (our_ids[0], their_ids[0]) == (other, expected)
    assert len(their_ids) == 5 and our_ids[1:] == their_ids[1:]
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)
    assert list(theirs) == sorted(theirs, reverse=True) and 0 < sum(theirs) < 1


def test_sampled_draw_of_a_broken_head(recorded, differences):
    sampled = recorded["sampled_tokens"].tolist()
    step = next(i for i in range(LAST_MASKED + 1, STEPS) if not recorded["fallback"][i])
    assert sampled[step] not in sampled[:step]
    other = next(i for i in range(6000) if i not in sampled and i not in recorded["greedy_tokens"])
    broken = swapped_head(sampled[step], other)
    found = differences(broken)[-1]
    assert (found.run, found.step, found.ours, found.theirs) == ("sampled", step, other, sampled[step])
    assert found.theirs_top == []
    expected = top_ids(forced_logits(broken, recorded, sampled[:step]))
    assert [token for token, _ in found.ours_top] == [token for token, _ in expected]
    np.testing.assert_allclose([p for _, p in found.ours_top], [p for _, p in expected], rtol=1e-4)


def forced_logits(synthesizer, recorded, tokens):
    """Logits (V,) after prompt and `tokens`, from one pass over all of them."""
    row = recorded_row(recorded, synthesizer.config.llm)
    ids, is_text = np.concatenate([row.ids, tokens]), np.concatenate([row.is_text, np.zeros(len(tokens), bool)])
    return np.asarray(CachedDecoder(synthesizer, ids, is_text, 1).logits[0])


def test_sampled_distribution_is_the_masked_one(synthesizer, recorded, differences):
    config = synthesizer.config.llm
    tokens = recorded["sampled_tokens"].copy()
    tokens[LAST_MASKED] += 1
    logits = np.full((STEPS, config.speech_vocab_size), -9.0, np.float32)
    logits[:, [config.sos_id, 7, 11]] = (3, 2, 1)
    (found,) = differences(synthesizer, sampled_tokens=tokens, sampled_logits=logits)
    assert (found.step, found.ours, found.theirs) == (LAST_MASKED, tokens[LAST_MASKED] - 1, tokens[LAST_MASKED])
    assert [token for token, _ in found.theirs_top[:2]] == [7, 11]
    assert found.theirs_top[0][1] == pytest.approx(np.e * found.theirs_top[1][1])
    tokens[LAST_MASKED] -= 1
    tokens[LAST_MASKED + 1] += 1
    (later,) = differences(synthesizer, sampled_tokens=tokens, sampled_logits=logits)
    assert later.theirs_top[0][0] == config.sos_id


def test_top_ids_of_known_logits():
    logits = np.log(np.asarray([0.05, 0.4, 0.1, 0.2, 0.0625, 0.1875], np.float32))
    assert [token for token, _ in top_ids(logits)] == [1, 3, 5, 2, 4]
    np.testing.assert_allclose([p for _, p in top_ids(logits)], [0.4, 0.2, 0.1875, 0.1, 0.0625], rtol=1e-6)
