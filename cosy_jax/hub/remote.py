"""What a hub is to us: it lists a repository's files with their digests, and opens one of them at any byte.

The clients' own downloads are not used. That of huggingface_hub 2 begins every call anew (its partial files have names
of their own), that of modelscope_hub loads a file with a wrong digest three times; and each shows bars of its own.
"""

import hashlib
import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from cosy_jax.errors import CosyError

_RANGE = re.compile(r"bytes (\d+)-")
_DIGEST = {True: re.compile("[0-9a-fA-F]{40}"), False: re.compile("[0-9a-fA-F]{64}")}
_AGAIN = (408, 416, 429)  # 416: it holds less than it lists, as while somebody writes it


class DroppedError(Exception):
    """The connection failed in a way that may pass. The message is a few words, without addresses: they may be
    signed."""


@dataclass(frozen=True)
class RemoteFile:
    """A file as the hub lists it: path in the repository, bytes, and the digest as hexadecimal digits.

    `git`: the digest is git's, SHA-1 behind a header, which Hugging Face has for small files; else it is SHA-256.
    """

    path: str
    size: int
    digest: str
    git: bool = False

    def is_content_of(self, path: Path) -> bool:
        """Whether the file at `path` holds this; all of it is read."""
        if path.stat().st_size != self.size:
            return False
        found = hashlib.sha1(f"blob {self.size}\0".encode(), usedforsecurity=False) if self.git else hashlib.sha256()
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
        return found.hexdigest() == self.digest


def listed(path: object, size: object, digest: object, git: bool = False) -> RemoteFile | None:
    """An entry of a listing; None where it is not as listings have it, so that nothing could be checked."""
    if not (isinstance(path, str) and isinstance(size, int) and isinstance(digest, str)):
        return None
    return RemoteFile(path, size, digest.lower(), git) if size >= 0 and _DIGEST[git].fullmatch(digest) else None


@dataclass(frozen=True)
class Listing:
    """The files of a repository by path, at a revision: the commit where the hub names it."""

    revision: str
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True)
class Body:
    """What a hub answers with: bytes from `start` of the file on."""

    start: int
    chunks: Iterator[bytes]


class Hub(Protocol):
    """`title` is what people call it. Faults are CosyError, or DroppedError where it may go better next time."""

    title: str

    def listing(self, repository: str, revision: str | None) -> Listing: ...

    def open(self, repository: str, revision: str, path: str, start: int) -> AbstractContextManager[Body]: ...


def request_headers(start: int) -> dict[str, str]:
    """For the bytes from `start` on, as they are: of a compressed answer no part could be continued."""
    return {"Accept-Encoding": "identity", **({"Range": f"bytes={start}-"} if start else {})}


def body_start(status: int, content_range: str | None) -> int:
    """The byte at which an answer begins: servers may ignore what was asked for."""
    if status != 206:
        return 0
    if not (found := _RANGE.match(content_range or "")):
        raise DroppedError("an answer that does not say where it begins")
    return int(found[1])


def refusal(hub: str, status: int, repository: str, variable: str) -> Exception:
    """The error for an HTTP status; `variable` is where the environment may hold a token."""
    if status >= 500 or status in _AGAIN:
        return DroppedError(f"HTTP {status}")
    if status in (401, 403, 404):
        return CosyError(
            f"{hub} has no {repository} of this revision, or not for you (HTTP {status}): check name and --revision, "
            f"and where it takes a token, set {variable}."
        )
    return CosyError(f"{hub} refuses {repository} (HTTP {status}): try another hub by --from.")


@contextmanager
def read_as_listing(hub: str) -> Iterator[None]:
    """Around a client's reading of a listing: CosyError where the answer is something else, as from a wrong endpoint or
    the login page of a network. Clients fail on such answers in any of these ways."""
    try:
        yield
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise CosyError(f"{hub} answers with no list of files: check the endpoint, or try again later.") from error


@contextmanager
def silenced(logger: str) -> Iterator[None]:
    """Inside the block, a client does not log: its lines hold signed addresses, and what matters is said by us."""
    found = logging.getLogger(logger)
    level = found.level
    found.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        found.setLevel(level)
