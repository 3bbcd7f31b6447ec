"""A table on disk in place of a dict that would grow with the manifest."""

import sqlite3
import threading
from typing import Any

from cosy_jax.errors import CosyError


class TemporaryDatabase:
    """An SQLite database in a file that is gone once it is closed; for any number of threads.

    `schema` is the statement that creates its tables. CosyError where the temporary folder has no room for it.
    """

    def __init__(self, schema: str) -> None:
        self._lock = threading.Lock()
        # Without a name, the file is one that SQLite deletes; never committed, it waits for no disk.
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self.execute("PRAGMA journal_mode = OFF")
        for statement in schema.split(";"):
            self.execute(statement)
        self.execute("BEGIN")

    def execute(self, statement: str, *values: str | int | None) -> tuple[int, list[Any]]:
        """Rows changed, and rows found."""
        try:
            with self._lock:
                cursor = self._database.execute(statement, values)
                return cursor.rowcount, cursor.fetchall()
        except sqlite3.OperationalError as error:
            raise CosyError(
                f"Cannot keep the keys in the temporary folder ({error}): name another one with SQLITE_TMPDIR."
            ) from error

    def close(self) -> None:
        """Frees the disk."""
        with self._lock:
            self._database.close()
