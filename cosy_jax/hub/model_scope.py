"""ModelScope, by the part of its client that needs no framework: tokens (MODELSCOPE_API_TOKEN, or a login) and the
endpoint (MODELSCOPE_ENDPOINT) are its matter."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

from cosy_jax.errors import CosyError
from cosy_jax.hub.remote import (
    Body,
    DroppedError,
    Listing,
    body_start,
    listed,
    read_as_listing,
    refusal,
    request_headers,
    silenced,
)

_CHUNK = 1 << 16  # bytes; a connection that is cut costs up to one


class ModelScope:
    """A `Hub`."""

    title = "ModelScope"

    def __init__(self) -> None:
        """CosyError where the client is not installed."""
        try:
            import modelscope_hub
        except ImportError as error:
            raise CosyError("ModelScope needs its client: pip install 'cosy_jax[hub]'.") from error
        self._api = modelscope_hub.HubApi()

    def listing(self, repository: str, revision: str | None) -> Listing:
        revision = revision or "master"
        with self._translated(repository), read_as_listing(self.title):
            found = self._api.list_repo_files(repository, "model", revision=revision)
            entries = (listed(entry.path, entry.size, entry.sha256) for entry in found)
            return Listing(revision, {entry.path: entry for entry in entries if entry})

    @contextmanager
    def open(self, repository: str, revision: str, path: str, start: int) -> Iterator[Body]:
        with self._translated(repository):
            headers = request_headers(start)
            with closing(self._api.legacy.download_stream(repository, "model", path, revision, headers)) as response:
                first = body_start(response.status_code, response.headers.get("Content-Range"))
                yield Body(first, response.iter_content(_CHUNK))

    @contextmanager
    def _translated(self, repository: str) -> Iterator[None]:
        import requests
        from modelscope_hub.errors import APIError, HubError

        try:
            with silenced("modelscope_hub"):
                yield
        except (HubError, requests.RequestException) as error:
            if isinstance(error, APIError) and error.status_code:
                raise refusal(self.title, error.status_code, repository, "MODELSCOPE_API_TOKEN") from error
            late = isinstance(error, requests.Timeout | TimeoutError)
            raise DroppedError("no answer in time" if late else "no connection") from error
