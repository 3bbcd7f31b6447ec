"""The sampler's distribution is the reference's rule: chi-square over 100 000 draws with the decoder's own noise.

The probabilities wanted are computed here, in float64, from the rule (reference: cosyvoice/utils/common.py,
ras_sampling): ids sorted by falling probability, the sort stable; kept while the sum before is below top_p and fewer
than top_k are kept; one drawn of the kept; where it occurs in the window, it is banned and one drawn of all others.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import chi2

from cosy_jax.config import SamplingConfig
from cosy_jax.llm.sampling import Noise, RasSampler, ras_sample
from tests.properties.profile import examples

RULE = SamplingConfig(top_p=0.8, top_k=25, window=10, repetition_rate=0.1)
IDS = 120
ROWS, STEPS = 100, 1000  # a key a row, as the decoder has it
NEVER, LIMIT = 0.0, 1e-4  # p-values: of an impossible draw, and the least that passes
NOTHING_YET = (-1,) * 10

RANDOM = np.random.default_rng(0)
SHUFFLED = RANDOM.permutation(IDS)


def tied(count, share):
    """`count` ids of one probability, scattered over the vocabulary, `share` in all; the rest on the others."""
    probabilities = np.full(IDS, (1 - share) / (IDS - count))
    probabilities[SHUFFLED[:count]] = share / count
    return probabilities


def falling(weights):
    """Weights, the largest first, scattered over the vocabulary."""
    probabilities = np.zeros(IDS)
    probabilities[SHUFFLED] = weights / np.sum(weights)
    return probabilities


RANKS = np.arange(1, IDS + 1)
PEAKED = falling(0.5**RANKS)
FLAT = falling(np.linspace(1.1, 0.9, IDS))
LONG_TAIL = falling(RANKS**-1.1)
TIED_AT_TOP_P = tied(12, 0.9)  # the sum before the eleventh is 0.75, before the twelfth 0.825
TIED_AT_TOP_K = tied(40, 0.9)  # the sum of 25 is 0.5625
ALL_EQUAL = np.full(IDS, 1 / IDS)
CERTAIN = falling(np.r_[19.0, np.full(IDS - 1, 1 / (IDS - 1))])  # one id has 95 %
BEST, SECOND, THIRD = SHUFFLED[:3]

CASES = {
    "peaked": (PEAKED, NOTHING_YET),
    "flat": (FLAT, NOTHING_YET),
    "long tail": (LONG_TAIL, NOTHING_YET),
    "tied at top_p": (TIED_AT_TOP_P, NOTHING_YET),
    "tied at top_k": (TIED_AT_TOP_K, NOTHING_YET),
    "all equal": (ALL_EQUAL, NOTHING_YET),
    "the likeliest in the window": (CERTAIN, (*NOTHING_YET[1:], BEST)),
    "the likeliest oldest in the window": (CERTAIN, (BEST, *range(9))),
    "three of the nucleus in the window": (LONG_TAIL, (BEST, SECOND, BEST, THIRD, *NOTHING_YET[:6])),
    "a tie in the window": (TIED_AT_TOP_K, (*SHUFFLED[:10],)),
}
# A broken rule, and a case that tells it from the right one.
BROKEN = {
    "top_k 24": (dataclasses.replace(RULE, top_k=24), "tied at top_k"),
    "top_p 0.83": (dataclasses.replace(RULE, top_p=0.83), "tied at top_p"),
    "repeats allowed once": (dataclasses.replace(RULE, repetition_rate=0.2), "the likeliest in the window"),
}


def nucleus(probabilities, rule):
    """The ids that the first draw is made of, in falling probability; of equal ones the lower first."""
    kept, total = [], 0.0
    for i in sorted(range(len(probabilities)), key=lambda i: (-probabilities[i], i)):
        if total >= rule.top_p or len(kept) == rule.top_k:
            break
        kept.append(i)
        total += probabilities[i]
    return kept


def wanted(probabilities, recent, rule):
    """Probability of each id when drawn once, and when drawn at the second attempt: float64 (2, V)."""
    kept = nucleus(probabilities, rule)
    once, twice = np.zeros((2, len(probabilities)))
    once[kept] = probabilities[kept] / probabilities[kept].sum()
    for i in kept:
        if recent.count(i) >= rule.window * rule.repetition_rate:
            others = np.where(np.arange(len(probabilities)) == i, 0, probabilities)
            twice += once[i] * others / others.sum()
            once[i] = 0
    return np.stack([once, twice])


@functools.partial(jax.jit, static_argnames=("sampler",))
def sample(logits, recent, keys, sampler):
    """ROWS x STEPS draws of one distribution: ids and whether they were drawn twice."""

    def row(key):
        shape = functools.partial(jnp.broadcast_to, shape=(STEPS, logits.shape[-1]))
        window = jnp.broadcast_to(recent, (STEPS, len(recent)))
        return sampler(shape(logits), window, jnp.broadcast_to(key, (STEPS,)), jnp.arange(STEPS))

    return jax.lax.map(row, keys)


def draw(probabilities, recent, rule):
    """How often each id was drawn once, and at the second attempt: int (2, V)."""
    with np.errstate(divide="ignore"):
        logits = jnp.asarray(np.log(probabilities), jnp.float32)
    keys = jax.vmap(jax.random.key)(jnp.arange(ROWS))
    ids, twice = (np.asarray(part).ravel() for part in sample(logits, jnp.asarray(recent), keys, RasSampler(rule)))
    counts = np.zeros((2, len(probabilities)), int)
    np.add.at(counts, (twice.astype(int), ids), 1)
    return counts


def p_value(counts, probabilities):
    """Of the chi-square test; outcomes that are expected fewer than five times are taken together."""
    expected = counts.sum() * probabilities.ravel()
    counts = counts.ravel()
    if counts[expected == 0].any():
        return NEVER
    rare = expected < 5
    observed, expected = (np.r_[x[~rare], x[rare].sum()] for x in (counts, expected))
    possible = expected > 0
    observed, expected = observed[possible], expected[possible]
    return float(chi2.sf(np.sum((observed - expected) ** 2 / expected), len(expected) - 1))


@pytest.mark.parametrize("case", CASES)
def test_draws_follow_the_rule(case):
    probabilities, recent = CASES[case]
    counts = draw(probabilities, recent, RULE)
    assert counts.sum() == 100_000
    assert p_value(counts, wanted(probabilities, recent, RULE)) > LIMIT


def test_nucleus_ends_where_the_sum_is_top_p_itself():
    """Eighths are exact in float32: after six of them the sum is 0.75, which is not below it."""
    eighths, rule = tied(8, 1.0), dataclasses.replace(RULE, top_p=0.75)
    counts = draw(eighths, NOTHING_YET, rule)
    assert np.count_nonzero(counts) == 6
    assert p_value(counts, wanted(eighths, NOTHING_YET, rule)) > LIMIT


@pytest.mark.parametrize("name", BROKEN)
def test_another_rule_is_told_apart(name):
    rule, case = BROKEN[name]
    probabilities, recent = CASES[case]
    assert p_value(draw(probabilities, recent, rule), wanted(probabilities, recent, RULE)) < LIMIT


def test_another_order_of_ties_is_told_apart():
    """The rule on the ids backwards, which takes the higher of equal ones first."""
    counts = draw(TIED_AT_TOP_K[::-1], NOTHING_YET, RULE)[:, ::-1]
    assert p_value(counts, wanted(TIED_AT_TOP_K, NOTHING_YET, RULE)) < LIMIT


def test_a_slightly_other_distribution_is_told_apart():
    counts = draw(LONG_TAIL, NOTHING_YET, RULE)
    assert p_value(counts, wanted(LONG_TAIL**1.02 / np.sum(LONG_TAIL**1.02), NOTHING_YET, RULE)) < LIMIT


@examples(15)
@given(logits=st.lists(st.integers(-4, 4), min_size=IDS, max_size=IDS), scale=st.sampled_from([0.0, 0.25, 1.0, 3.0]))
def test_nucleus_holds_these_ids_in_this_order(logits, scale):
    """Noise that lets one candidate win, for each candidate in turn."""
    probabilities = np.exp(scale * np.asarray(logits, np.float64))
    probabilities /= probabilities.sum()
    kept = nucleus(probabilities, RULE)
    # Where a sum is within rounding of top_p, float32 may end the nucleus elsewhere than float64.
    assume(np.abs(np.cumsum(probabilities[kept]) - RULE.top_p).min() > 1e-5)
    noise = Noise(jnp.where(jnp.eye(RULE.top_k, dtype=bool), 1e-30, 1.0), jnp.ones((RULE.top_k, IDS)))
    row = jnp.asarray(scale * np.asarray(logits), jnp.float32)
    rows, recent = jnp.broadcast_to(row, (RULE.top_k, IDS)), jnp.full((RULE.top_k, RULE.window), -1)
    ids, _ = jax.jit(ras_sample, static_argnames="config")(rows, recent, noise, config=RULE)
    assert ids[: len(kept)].tolist() == kept
    # Candidates beyond the nucleus do not win with any noise.
    assert set(ids.tolist()) == set(kept)
