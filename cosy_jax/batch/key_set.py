"""A set of strings that does not grow in memory."""

import sqlite3
import threading
from typing import Any

from cosy_jax.errors import CosyError


class KeySet:
    """Strings in a temporary database on disk, which is gone once it is closed; for any number of threads.

    CosyError where the temporary folder has no room for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # Without a name, the file is one that SQLite deletes; never committed, it waits for no disk.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._execute("PRAGMA journal_mode = OFF")
        self._execute("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")
        self._execute("BEGIN")

    def add(self, key: str) -> bool:
        """False where the key was there before."""
        return self._execute("INSERT OR IGNORE INTO keys VALUES (?)", key)[0] == 1

    def __contains__(self, key: str) -> bool:
        return bool(self._execute("SELECT 1 FROM keys WHERE key = ?", key)[1])

    def close(self) -> None:
        """Frees the disk."""
        with self._lock:
            self._database.close()

    def _execute(self, statement: str, *values: str) -> tuple[int, list[Any]]:
        """Rows changed, and rows found."""
        try:
            with self._lock:
                cursor = self._database.execute(statement, values)
                return cursor.rowcount, cursor.fetchall()
        except sqlite3.OperationalError as error:
            raise CosyError(
                f"Cannot keep the keys in the temporary folder ({error}): name another one with SQLITE_TMPDIR."
            ) from error
