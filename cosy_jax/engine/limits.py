"""How much an engine takes on."""

import os
from dataclasses import dataclass

import jax

from cosy_jax.config import FlowConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.pages import page_bytes, slot_bytes
from cosy_jax.nn import backend, buckets
from cosy_jax.nn.precision import Precision

SHARE = 0.6  # of the memory that is free when an engine starts
_PAGES_A_STREAM = 40  # 40 s of speech with its voice: more is seldom used
# What the program of a piece of 4 s has for itself, as pages: those it leaves behind, until its loop has ended, and its
# layers' values (TPU.md: 1.4 GiB of the released sizes in bfloat16, where a page is 0.17).
_PAGES_A_PIECE = 9
TPU_ROWS = 2  # of pieces: the compiler ends with two in 37 CPU seconds, with four it had not in six minutes (TPU.md)


@dataclass(frozen=True)
class Limits:
    """Bounds of an engine; None is what suits the machine."""

    streams: int | None = None  # requests that are spoken at a time
    queue: int = 256  # requests that wait behind them
    memory: int | None = None  # bytes for what streams and voices keep on the device
    seconds: float = 60.0  # the longest speech of one segment of a text
    recording: float = 30.0  # the longest recording of a voice, seconds
    ahead: float = 30.0  # seconds of unread audio at which a stream is paused
    comfort: float = 1.0  # seconds ahead of its listener from which on a stream waits for others' first pieces
    left_chunks: int | None = None  # seconds that a stream looks back on; None: to its start
    piece_rows: int | None = None  # pieces in one program
    whole_rows: int | None = None  # whole utterances in one program

    def __post_init__(self) -> None:
        least = {"streams": 1, "queue": 0, "memory": 1, "left_chunks": 1, "piece_rows": 1, "whole_rows": 1}
        for name, minimum in least.items():
            value = getattr(self, name)
            if value is not None and value < minimum:
                raise CosyError(f"An engine cannot have {value} of these: give {minimum} or more.", name)
        for name in ("seconds", "recording", "ahead"):
            if not getattr(self, name) > 0:
                raise CosyError("An engine needs some time for this: give seconds above 0.", name)


@dataclass(frozen=True)
class Budget:
    """What an engine has: rows of the language model, of pieces and of whole utterances, and the flow's memory.

    `begins` is how many streams begin to be decoded in one turn: as many as then get a piece, where their prefill would
    keep the others' from being computed."""

    streams: int
    piece_rows: tuple[int, ...]
    whole_rows: int
    begins: int
    pages: int
    slots: int
    page_bytes: int
    slot_bytes: int

    def __str__(self) -> str:
        seconds, size = self.pages, self.pages * self.page_bytes + self.slots * self.slot_bytes
        return (
            f"{self.streams} streams at a time, {seconds} s of speech kept for them and their voices "
            f"({size / 1e9:.2f} GB), pieces of up to {self.piece_rows[-1]} streams in one program"
        )


def make_budget(limits: Limits, config: FlowConfig, precision: Precision) -> Budget:
    """The budget within the limits; CosyError where the memory is not enough for one stream of a minute."""
    platform, free = backend.host_platform(), _free_memory()
    cpu = platform == "cpu"
    streams = limits.streams or (16 if cpu else 64)
    page, slot = page_bytes(config, precision), slot_bytes(config)
    slots = 2 * streams  # a voice has one, too
    memory = limits.memory or int(SHARE * free)
    most = {"cpu": _cpu_rows(), "tpu": TPU_ROWS}.get(platform, 16)
    rows = min(limits.piece_rows or min(most, fitting_pieces(free - memory, page)), streams)
    pages = min((memory - slots * slot) // page, streams * _PAGES_A_STREAM)
    if pages < _PAGES_A_STREAM:
        raise CosyError(
            f"{memory / 1e9:.1f} GB are not enough for one stream: give the engine "
            f"{(_PAGES_A_STREAM * page + slots * slot) / 1e9:.1f} GB, or fewer streams.",
            "memory",
        )
    piece_rows = tuple(count for count in buckets.STREAM_ROWS if count <= rows)
    begins = piece_rows[-1] if cpu else streams
    return Budget(streams, piece_rows, limits.whole_rows or (1 if cpu else 16), begins, int(pages), slots, page, slot)


def fitting_pieces(memory: int, page: int) -> int:
    """How many pieces one program may solve in that much memory beside the pages, both in bytes; at least one."""
    return max(1, memory // (_PAGES_A_PIECE * page))


def _cpu_rows() -> int:
    """A few cores are filled by one piece: four of them take up to 1.5 times as long together as one after the other,
    and the first waits for the last."""
    return max(1, min(4, backend.host_cores() // 2))


def _free_memory() -> int:
    """The device's; on a CPU, a third of the machine's, since weights and programs are there too."""
    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" in stats:
        return stats["bytes_limit"] - stats["bytes_in_use"]
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 3
