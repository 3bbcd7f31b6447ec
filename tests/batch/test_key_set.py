"""A set of strings on disk."""

import threading

import pytest

from cosy_jax.batch.key_set import KeySet
from cosy_jax.errors import CosyError
from tests.batch.test_results import file_size_limit


def test_key_set():
    keys = KeySet()
    assert keys.add("a") and keys.add("é") and keys.add("") and keys.add("A") and not keys.add("a")
    assert not keys.add("é") and keys.add("e")
    threads = [threading.Thread(target=lambda: [keys.add(f"{i}") for i in range(500)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not any(keys.add(f"{i}") for i in range(500))
    with file_size_limit(100_000), pytest.raises(CosyError, match="SQLITE_TMPDIR"):
        for i in range(100_000):
            keys.add(f"a key of some length, number {i}")
    keys.close()
