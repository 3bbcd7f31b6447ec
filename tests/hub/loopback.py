"""A hub on the loopback interface: enough of both APIs for the real clients, and faults on demand.

Large files are redirected to a second server, another origin, as hubs do with their stores.
"""

import hashlib
import json
import re
import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

REPOSITORY = "FunAudioLLM/Fun-CosyVoice3-0.5B-2512"
COMMIT = "29e01c4e8d000f4bcd70751be16fa94bf3d85a18"
TOKEN = "hf_secret0123456789"
SIGNED = "Signature=also-secret"


@dataclass
class Faults:
    """What goes wrong: by path, connections that are cut after so many bytes, while there are any left to cut."""

    cuts: dict[str, list[int]] = field(default_factory=dict)
    lengths: dict[str, int] = field(default_factory=dict)  # the file ends there, and the hub means it
    contents: dict[str, bytes] = field(default_factory=dict)  # other bytes than the listing's
    statuses: dict[str, list[int]] = field(default_factory=dict)  # answered in place of the file
    no_ranges: bool = False
    private: bool = False
    listing: bytes | None = None  # in place of the listing


class Hub:
    """`log` has (path, first byte asked for, headers) of each file's request, at the hub or at its store."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.faults = folder, Faults()
        self.log: list[tuple[str, int, str]] = []
        self.paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def content(self, path: str) -> bytes:
        return (self.folder / path).read_bytes()

    def asked(self) -> Counter:
        """How often each file's bytes were asked for."""
        return Counter(path for path, _, _ in self.log)

    def large(self, path: str) -> bool:
        return not path.endswith((".json", ".yaml", ".txt"))

    def hugging_face(self) -> bytes:
        siblings = []
        for path in self.paths:
            content = self.content(path)
            entry = {"rfilename": path, "size": len(content), "blobId": git_digest(content)}
            if self.large(path):
                sha256 = hashlib.sha256(content).hexdigest()
                entry["lfs"] = {"size": len(content), "sha256": sha256, "pointerSize": 134}
            siblings.append(entry)
        return json.dumps({"id": REPOSITORY, "modelId": REPOSITORY, "sha": COMMIT, "siblings": siblings}).encode()

    def model_scope(self) -> bytes:
        files = [{"Path": "CosyVoice-BlankEN", "Type": "tree", "Size": 0, "Sha256": ""}]
        for path in self.paths:
            content = self.content(path)
            sha256 = hashlib.sha256(content).hexdigest()
            files.append(
                {"Path": path, "Name": Path(path).name, "Type": "blob", "Size": len(content), "Sha256": sha256}
            )
        return json.dumps({"Code": 200, "Success": True, "Data": {"Files": files}}).encode()


def git_digest(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub
    store: str  # the address that large files are at; "" at the store itself

    def log_message(self, *_):
        pass

    def do_GET(self):
        url = urlsplit(self.path)
        path, query = unquote(url.path), parse_qs(url.query)
        if found := re.fullmatch(rf"/api/models/{REPOSITORY}(?:/revision/(.+))?", path):
            self.list(found[1] or "main", self.hub.hugging_face())
        elif found := re.fullmatch(rf"/{REPOSITORY}/resolve/{COMMIT}/(.+)", path):
            self.file(found[1])
        elif path == f"/api/v1/models/{REPOSITORY}/repo/files":
            self.list(query["Revision"][0], self.hub.model_scope())
        elif path == f"/api/v1/models/{REPOSITORY}/repo":
            self.file(query["FilePath"][0])
        elif path.startswith("/store/") and not self.store:
            self.file(path.removeprefix("/store/"))
        else:
            self.answer(404, b'{"error": "Not found", "Code": 10010205001, "Message": "model not found"}')

    def list(self, revision: str, content: bytes) -> None:
        if self.hub.faults.private and TOKEN not in (self.headers["Authorization"] or ""):
            self.answer(401, b'{"error": "Invalid username or password.", "Code": 401, "Message": "log in"}')
        elif revision not in ("main", "master", "v1", COMMIT):
            self.answer(404, b'{"error": "Invalid rev id", "Code": 404, "Message": "no such revision"}')
        else:
            self.answer(200, content if self.hub.faults.listing is None else self.hub.faults.listing)

    def file(self, path: str) -> None:
        hub, faults = self.hub, self.hub.faults
        if self.store and hub.large(path):
            self.answer(302, b"", {"Location": f"{self.store}/store/{path}?{SIGNED}"})
            return
        first = int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        hub.log.append((path, first, self.headers.as_string()))
        if faults.statuses.get(path):
            self.answer(faults.statuses[path].pop(0), b"{}")
            return
        content = faults.contents.get(path, hub.content(path))[: faults.lengths.get(path)]
        if self.headers["Range"] is None or faults.no_ranges:
            self.answer(200, content, path=path)
        elif first >= len(content):
            self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        else:
            span = f"bytes {first}-{len(content) - 1}/{len(content)}"
            self.answer(206, content[first:], {"Content-Range": span}, path=path)

    def answer(self, status: int, content: bytes, headers=(), path: str = "") -> None:
        cuts = self.hub.faults.cuts.get(path)
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content[: cuts.pop(0)] if cuts else content)
        if cuts is not None:
            self.close_connection = True


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        """A client that hangs up is no fault."""


@contextmanager
def _served(hub: Hub, store: str):
    handler = type("Handler", (_Handler,), {"hub": hub, "store": store})
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hub_of(folder: Path):
    """A hub that has the folder's files under `REPOSITORY`, and its address."""
    hub = Hub(folder)
    with _served(hub, "") as store, _served(hub, store.replace("127.0.0.1", "localhost")) as address:
        yield hub, address
