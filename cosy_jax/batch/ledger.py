"""What earlier runs have spoken, and whether a line is among it."""

from collections.abc import Callable
from dataclasses import astuple
from enum import StrEnum
from typing import Any

from cosy_jax.batch.database import TemporaryDatabase
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.origin import Origin

_SCHEMA = """
CREATE TABLE spoken (
    key TEXT PRIMARY KEY, wav TEXT, run INTEGER, line TEXT, voice TEXT, weights TEXT, options TEXT
) WITHOUT ROWID;
CREATE TABLE files (wav TEXT PRIMARY KEY, key TEXT, run INTEGER) WITHOUT ROWID
"""
_SPEAK = """
INSERT INTO spoken VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    wav = excluded.wav, run = excluded.run, line = excluded.line, voice = excluded.voice, weights = excluded.weights,
    options = excluded.options
WHERE excluded.run >= run
"""
_WRITE = """
INSERT INTO files VALUES (?, ?, ?) ON CONFLICT (wav) DO UPDATE SET key = excluded.key, run = excluded.run
WHERE excluded.run >= run
"""
_FIND = """
SELECT spoken.wav, files.key, line, voice, weights, options FROM spoken JOIN files USING (wav) WHERE spoken.key = ?
"""


class Standing(StrEnum):
    """Whether a line is to be spoken; the value of those that are so again says why, behind "because"."""

    NEW = "it was not spoken yet"
    SPOKEN = "it is spoken"
    UNVERIFIED = "it was spoken by a version that did not record of what"
    FORCED = "it is forced"
    RENAMED = "its wav has another name"
    GONE = "its wav is gone"
    LINE = "its text, mode, seed or speed changed"
    VOICE = "its voice changed"
    WEIGHTS = "the weights changed"
    OPTIONS = "the options changed"

    @property
    def final(self) -> bool:
        """Nothing is left to speak."""
        return self in (Standing.SPOKEN, Standing.UNVERIFIED)


class Ledger:
    """The latest entry of each key, and the key that was spoken into each file last.

    Runs are numbered, since the entries of one folder stand in several files. For any number of threads.
    """

    def __init__(self) -> None:
        self.latest_run = 0
        self._database = TemporaryDatabase(_SCHEMA)

    def enter(self, entry: dict[str, Any]) -> None:
        """Notes a line that was spoken; of one run, those entered later are the later ones."""
        run, digests = entry.get("run", 0), entry.get("digests", {})
        origin = [digests.get(name) for name in Origin.__dataclass_fields__]
        self._database.execute(_SPEAK, entry["key"], entry["wav"], run, *origin)
        self._database.execute(_WRITE, entry["wav"], entry["key"], run)
        self.latest_run = max(self.latest_run, run)

    def standing(self, line: Line, is_there: Callable[[str], bool]) -> Standing:
        """Whether a line is spoken, from what it would be spoken from now, into a `wav` that `is_there`."""
        found = self._database.execute(_FIND, line.key)[1]
        if not found:
            return Standing.NEW
        wav, written_last, *recorded = found[0]
        if wav != line.wav:
            return Standing.RENAMED
        if written_last != line.key or not is_there(wav):
            return Standing.GONE
        if recorded[0] is None or line.origin is None:
            return Standing.UNVERIFIED
        reasons = (Standing.LINE, Standing.VOICE, Standing.WEIGHTS, Standing.OPTIONS)
        for reason, before, now in zip(reasons, recorded, astuple(line.origin), strict=True):
            if before != now:
                return reason
        return Standing.SPOKEN

    def close(self) -> None:
        """Frees the disk."""
        self._database.close()
