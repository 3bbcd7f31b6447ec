"""Loading ahead in a thread."""

import itertools
import threading
import time

import pytest

from cosy_jax.dataset.prefetch import prefetch


def test_order_and_end():
    assert list(prefetch(lambda item: item * 2, range(20))) == [item * 2 for item in range(20)]
    assert list(prefetch(str, [])) == []


def test_no_more_than_asked_for_is_loaded_ahead():
    loaded = []
    results = prefetch(loaded.append, itertools.count(), ahead=3)
    next(results)
    time.sleep(0.3)
    assert len(loaded) == 1 + 3
    results.close()


def test_loads_at_the_same_time():
    together = threading.Barrier(3)
    assert len([*prefetch(lambda _: together.wait(10), range(6), ahead=3)]) == 6


def test_closing_ends_the_threads():
    before = threading.active_count()
    results = prefetch(str, itertools.count())
    assert next(results) == "0"
    assert threading.active_count() > before
    results.close()
    assert threading.active_count() == before


def test_errors_are_raised_where_the_results_are_taken():
    def load(item):
        if item == 2:
            raise ValueError("no third")
        return item

    results = prefetch(load, range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="no third"):
        next(results)
