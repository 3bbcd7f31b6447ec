"""A set of strings that does not grow in memory."""

from cosy_jax.batch.database import TemporaryDatabase


class KeySet:
    """Strings in a temporary database, errors as there; for any number of threads."""

    def __init__(self) -> None:
        self._database = TemporaryDatabase("CREATE TABLE keys (key TEXT PRIMARY KEY) WITHOUT ROWID")

    def add(self, key: str) -> bool:
        """False where the key was there before."""
        return self._database.execute("INSERT OR IGNORE INTO keys VALUES (?)", key)[0] == 1

    def __contains__(self, key: str) -> bool:
        return bool(self._database.execute("SELECT 1 FROM keys WHERE key = ?", key)[1])

    def close(self) -> None:
        """Frees the disk."""
        self._database.close()
