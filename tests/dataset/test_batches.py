"""Which utterances make a batch."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosy_jax.dataset.batches import epoch_batches, split
from cosy_jax.errors import CosyError

BUCKETS = (10, 20, 50, 100)


def batches(lengths, budget=100, **options):
    given = {"seed": 1, "epoch": 0, **options}
    return epoch_batches(lengths, buckets=BUCKETS, budget=budget, **given)


@settings(max_examples=200)
@given(
    lengths=st.lists(st.integers(0, 100), min_size=1, max_size=300),
    budget=st.integers(1, 400),
    processes=st.integers(1, 5),
    epoch=st.integers(0, 3),
)
def test_every_utterance_once_and_all_processes_in_step(lengths, budget, processes, epoch):
    everyone = [
        batches(lengths, budget, epoch=epoch, process=process, processes=processes) for process in range(processes)
    ]
    for step in zip(*everyone, strict=True):
        (size,) = {batch.size for batch in step}
        for batch in step:
            assert len(batch.indices) == max(1, budget // size)
            assert all(lengths[index] <= size for index in batch.indices if index >= 0)
        assert any((batch.indices >= 0).any() for batch in step)
    taken = np.concatenate([batch.indices for own in everyone for batch in own])
    assert sorted(taken[taken >= 0]) == list(range(len(lengths)))


@settings(max_examples=50)
@given(lengths=st.lists(st.integers(1, 100), min_size=1, max_size=300), budget=st.integers(100, 1000))
def test_padding_is_bounded(lengths, budget):
    """No more than each utterance padded to its own bucket, and a batch more of each bucket."""
    computed = sum(batch.size * len(batch.indices) for batch in batches(lengths, budget))
    padded = sum(min(size for size in BUCKETS if size >= length) for length in lengths)
    assert computed <= padded + len(BUCKETS) * budget


def test_order_is_a_function_of_seed_and_epoch():
    lengths = np.arange(100)

    def order(**options):
        return [(batch.size, *batch.indices) for batch in batches(lengths, **options)]

    assert order() == order()
    assert order() != order(epoch=1) and order() != order(seed=2)
    assert sorted(size for size, *_ in order()) != [size for size, *_ in order()]


def test_order_is_the_same_on_every_machine():
    """A run that is resumed with another numpy goes on in the same order."""
    found = epoch_batches([5, 15, 7, 40, 9, 12], buckets=BUCKETS, budget=40, seed=3, epoch=2)
    assert [(batch.size, batch.indices.tolist()) for batch in found] == [(10, [4, 0, 2, -1]), (20, [5, 1]), (50, [3])]


@pytest.mark.parametrize(
    ("lengths", "options", "sentence"),
    [
        ([5, 101], {}, "Utterance 1 has length 101, more than the 100"),
        ([], {}, "no utterance to make batches of"),
        ([5], {"budget": 0}, "budget 0"),
        ([5], {"process": 2, "processes": 2}, "process 2 of 2"),
    ],
)
def test_what_cannot_be(lengths, options, sentence):
    with pytest.raises(CosyError, match=sentence):
        batches(lengths, **options)


class Keys:
    def __init__(self, keys):
        self.keys = list(keys)

    def __len__(self):
        return len(self.keys)


def held_out(keys, count, seed=0):
    dataset = Keys(keys)
    train, held = split(dataset, count, seed)
    assert sorted([*train, *held]) == list(range(len(dataset.keys)))
    return {dataset.keys[index] for index in held}


@given(few=st.sets(st.text(), min_size=6), more=st.sets(st.text()))
def test_what_was_trained_with_is_never_held_out(few, more):
    before, after = held_out(sorted(few), 5), held_out(sorted(few | more, reverse=True), 5)
    assert len(before) == len(after) == 5
    assert not after & (few - before)


def test_split_depends_on_keys_and_seed_alone():
    keys = [f"utterance-{number}" for number in range(100)]
    assert held_out(keys, 10) == held_out(keys[::-1], 10) != held_out(keys, 10, seed=1)
    assert not held_out(keys, 0)
    with pytest.raises(CosyError, match="100 of 100 utterances cannot be held out"):
        held_out(keys, 100)
