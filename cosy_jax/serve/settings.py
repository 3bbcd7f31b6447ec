"""How a server is set up, and its bounds."""

from dataclasses import dataclass
from pathlib import Path

from cosy_jax.errors import CosyError

LOOPBACK = ("127.0.0.1", "::1", "localhost")
_SHORTEST_KEY = 16


@dataclass(frozen=True)
class ServeSettings:
    """Where it listens, who may ask, and how much."""

    host: str = "127.0.0.1"
    port: int = 8000
    model: str = "cosy_jax"  # its name for clients
    keys: tuple[str, ...] = ()  # one of which every request must bring; none: anybody may ask
    prompts: Path | None = None  # folder below which /synthesize may name recordings; None: nowhere
    longest_text: int = 4096  # characters
    largest_body: int = 12 << 20  # bytes
    most_voices: int = 1000
    most_connections: int = 512
    slow_seconds: float = 120.0  # in which a request has to arrive, and some of an answer to be taken
    idle_seconds: float = 30.0  # that a WebSocket may say nothing
    drain_seconds: float = 30.0  # that what sounds has at the end

    def __post_init__(self) -> None:
        for key in self.keys:
            if len(key) < _SHORTEST_KEY or not key.isascii() or not key.isprintable():
                raise CosyError(f"An API key is too easy to guess: use {_SHORTEST_KEY} printable characters or more.")
        if self.host not in LOOPBACK and not self.keys:
            raise CosyError(
                f"On {self.host} others can reach the server: give it keys with --api-key-file, or stay on 127.0.0.1."
            )


def read_keys(path: str | Path) -> tuple[str, ...]:
    """The keys of a file, one a line; empty lines and those that begin with # are left out. CosyError where it cannot
    be read, or holds none."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CosyError(f"Cannot read the keys in {path}: {error}.") from error
    keys = tuple(line.strip() for line in lines if line.strip() and not line.startswith("#"))
    if not keys:
        raise CosyError(f"{path} holds no key: write one a line.")
    return keys
