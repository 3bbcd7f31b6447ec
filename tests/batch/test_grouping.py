"""Batches by length bucket."""

import jax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosy_jax.batch.grouping import Failure, Grouping, Success, halving
from cosy_jax.errors import CosyError


@given(st.lists(st.integers(0, 5)), st.sampled_from([1, 3, 4, 16]))
def test_every_item_comes_back_once_in_a_batch_of_its_bucket(buckets, rows):
    grouping = Grouping(rows)
    items = list(enumerate(buckets))
    batches = [batch for item in items for batch in grouping.add(item[1], item)] + list(grouping.rest())
    assert sorted(item for batch in batches for item in batch) == items
    for batch in batches:
        assert len({bucket for _, bucket in batch}) == 1
        assert len(batch) in {1, 4, 16, rows} and len(batch) <= rows


def test_a_batch_leaves_as_soon_as_it_is_full():
    grouping = Grouping(2)
    assert list(grouping.add("a", 1)) == [] and list(grouping.add("b", 2)) == []
    assert list(grouping.add("a", 3)) == [[1, 3]]
    assert list(grouping.rest()) == [[2]]


def test_a_rare_length_does_not_wait_for_the_end():
    grouping = Grouping(4)
    list(grouping.add("rare", "r"))
    seen = [batch for index in range(70) for batch in grouping.add("common", index)]
    assert ["r"] in seen


def out_of_memory_above(limit, calls):
    def work(group):
        calls.append(len(group))
        if len(group) > limit:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: out of memory")
        return [item * 10 for item in group]

    return work


def test_a_batch_too_large_is_halved():
    calls = []
    expected = [Success(item, 10 * item) for item in range(1, 6)]
    assert list(halving([1, 2, 3, 4, 5], out_of_memory_above(2, calls))) == expected
    assert max(calls) == 5 and calls.count(5) == 1


def test_an_item_that_fails_alone_is_reported_and_the_others_go_on():
    def work(group):
        if 3 in group:
            raise CosyError("too long")
        return group

    expected = [Success(1, 1), Success(2, 2), Failure(3, "too long"), Success(4, 4)]
    assert list(halving([1, 2, 3, 4], work)) == expected


def test_a_failure_always_says_something():
    def work(group):
        raise MemoryError

    assert list(halving([1], work)) == [Failure(1, "MemoryError")]


def test_a_fault_of_the_program_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(halving([1, 2], lambda group: 1 / 0))
