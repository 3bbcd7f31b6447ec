"""Mutated files for a reader: whatever is in one, the reader gives what it should or a sentence, soon, and in little
memory.

COSY_JAX_FUZZ says how many inputs each reader gets, 20000 where there is time; the same number gives the same inputs.
"""

import json
import math
import os
import random
import resource
import signal
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from cosy_jax.errors import CosyError

INPUTS = int(os.environ.get("COSY_JAX_FUZZ", "2500"))
MOST_SECONDS, MOST_BYTES = 2, 512 * 2**20
HANGS_AFTER = 60  # seconds of waiting, which takes no processor time

# What readers of numbers and texts stumble over.
ODD = [
    *(None, True, 0, -1, 7, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e308, float("nan"), float("inf")),
    *("", " ", "\0", "\ud800", "é", "e\u0301", "\x1b[31m", "a\nb", "x" * 5000, "../..", "/", [], {}, ["a"], {"a": "b"}),
]
FUZZED = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory bound is that of Linux"),
    pytest.mark.filterwarnings("default"),
]


def fuzz(
    name: str,
    mutated: Callable[[random.Random], bytes],
    read: Callable[[bytes], Iterable[str]],
    capsys: pytest.CaptureFixture,
) -> Counter[str]:
    """Reads `INPUTS` mutated files; `read` gives what became of each, to be counted."""
    dice, counts, longest = random.Random(name), Counter[str](), 0.0
    with _bounds():
        for number in range(INPUTS):
            content = mutated(dice)
            signal.alarm(HANGS_AFTER)
            start = time.process_time()
            try:
                counts.update(read(content))
            except CosyError as error:
                assert str(error).endswith(".") and len(str(error)) < 20_000, (number, str(error))
                counts["refused"] += 1
            except BaseException as error:
                pytest.fail(f"input {number}: {type(error).__name__} {error} for {content[:2000]!r}")
            longest = max(longest, time.process_time() - start)
            assert longest < MOST_SECONDS, (number, content[:2000])
    with capsys.disabled():
        told = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"\n{name}: {INPUTS} inputs, {told}; at most {longest:.3f} s for one")
    return counts


@contextmanager
def _bounds() -> Iterator[None]:
    """Little more memory than there is now, and an end to waiting."""

    def give_up(*_: object) -> None:
        raise TimeoutError("the reader waits for something")

    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before, handler = resource.getrlimit(resource.RLIMIT_AS), signal.signal(signal.SIGALRM, give_up)
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES, before[1]))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        signal.alarm(0)
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.signal(signal.SIGALRM, handler)


def with_other_bytes(content: bytes, dice: random.Random, tokens: list[bytes]) -> bytes:
    """One stretch cut out, doubled or put elsewhere, one byte another, a token put in, or the end cut off."""
    first, last = sorted((dice.randint(0, len(content)), dice.randint(0, len(content))))
    kind = dice.randrange(6)
    if kind == 0:
        return content[:first] + content[min(last, first + dice.randint(1, 8)) :]
    if kind == 1:
        return content[:last] + content[first:last][:100_000] + content[last:]
    if kind == 2 and content:
        where = min(first, len(content) - 1)
        return content[:where] + bytes([dice.randrange(256)]) + content[where + 1 :]
    if kind == 3:
        return content[:first]
    if kind == 4:
        return content[first:last] + content[:first] + content[last:]
    return content[:first] + dice.choice(tokens) + content[first:]


def damaged(content: bytes, dice: random.Random, tokens: list[bytes], times: tuple[int, ...] = (0, 0, 1, 3)) -> bytes:
    """`with_other_bytes` so many times, one of `times`."""
    for _ in range(dice.choice(times)):
        content = with_other_bytes(content, dice, tokens)
    return content


def with_odd_values(tree: object, dice: random.Random, share: float, values: list = ODD) -> object:
    """A copy of JSON's values in which about that share of them, names too, are others."""
    if dice.random() < share:
        return dice.choice(values)
    if isinstance(tree, dict):
        pairs = list(tree.items())
        if pairs and dice.random() < share:
            del pairs[dice.randrange(len(pairs))]
        return {
            dice.choice(("a", "", "é", name + "2")) if dice.random() < share / 4 else name: with_odd_values(
                value, dice, share, values
            )
            for name, value in pairs
        }
    if isinstance(tree, list):
        return [with_odd_values(value, dice, share, values) for value in tree]
    return tree


_TYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "I64": 8, "I32": 4, "U16": 2, "U8": 1, "BOOL": 1}
_HEADER_VALUES = [*ODD, *_TYPES, "C64", "F4", [0, 24], [24, 0], [2, 3], [2**40, 2**40], [-1], [0], 24, 96]


def some_header(
    dice: random.Random, tensors: dict[str, tuple[str, tuple[int, ...]]], metadata: dict[str, str] | None = None
) -> tuple[dict, bytes]:
    """The header of a safetensors file, in which values may be others, and the data that it needed before."""
    header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
    end, parts = 0, []
    for name, (kind, shape) in tensors.items():
        if dice.random() < 0.02:
            kind = dice.choice(list(_TYPES))
        size = _TYPES[kind] * math.prod(shape)
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
        parts.append(
            dice.choice((bytes(size), dice.randbytes(size), b"\xff" * size)) if dice.random() < 0.2 else bytes(size)
        )
    changed = with_odd_values(header, dice, dice.choice((0, 0, 0.02, 0.1)), _HEADER_VALUES)
    return changed if isinstance(changed, dict) else {}, b"".join(parts)


def framed(header: dict, data: bytes) -> bytes:
    """The safetensors file of them: https://huggingface.co/docs/safetensors, Format."""
    text = json.dumps(header, ensure_ascii=False).encode("utf-8", "surrogatepass")
    return len(text).to_bytes(8, "little") + text + data
