"""Hugging Face, by its client: addresses, tokens (HF_TOKEN, or a login), the endpoint (HF_ENDPOINT) and proxies are its
matter."""

from collections.abc import Iterator
from contextlib import contextmanager

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

_TIMEOUT = 30.0  # seconds without a byte


class HuggingFace:
    """A `Hub`."""

    title = "Hugging Face"

    def __init__(self) -> None:
        """CosyError where the client is not installed."""
        try:
            import huggingface_hub
        except ImportError as error:
            raise CosyError("Hugging Face needs its client: pip install 'cosy_jax[hub]'.") from error
        self._api = huggingface_hub.HfApi()

    def listing(self, repository: str, revision: str | None) -> Listing:
        with read_as_listing(self.title), self._translated(repository):
            found = self._api.model_info(repository, revision=revision, files_metadata=True, timeout=_TIMEOUT)
            entries = (
                listed(entry.rfilename, entry.size, entry.lfs.sha256 if entry.lfs else entry.blob_id, not entry.lfs)
                for entry in found.siblings or ()
            )
            return Listing(found.sha or revision or "main", {entry.path: entry for entry in entries if entry})

    @contextmanager
    def open(self, repository: str, revision: str, path: str, start: int) -> Iterator[Body]:
        from huggingface_hub import get_session, hf_hub_url
        from huggingface_hub.utils import build_hf_headers, hf_raise_for_status

        url = hf_hub_url(repository, path, revision=revision, endpoint=self._api.endpoint)
        headers = {**build_hf_headers(), **request_headers(start)}
        with (
            self._translated(repository),
            get_session().stream("GET", url, headers=headers, timeout=_TIMEOUT, follow_redirects=True) as response,
        ):
            hf_raise_for_status(response)
            first = body_start(response.status_code, response.headers.get("Content-Range"))
            yield Body(first, response.iter_bytes())

    @contextmanager
    def _translated(self, repository: str) -> Iterator[None]:
        import httpx2
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

        try:
            with silenced("huggingface_hub"):
                yield
        except HfHubHTTPError as error:
            raise refusal(self.title, error.response.status_code, repository, "HF_TOKEN") from error
        except OfflineModeIsEnabled as error:
            raise CosyError("HF_HUB_OFFLINE keeps Hugging Face's client from the network: unset it.") from error
        except HFValidationError as error:
            raise CosyError(f"Hugging Face knows no such name as {repository}: check it.") from error
        except httpx2.TimeoutException as error:
            raise DroppedError("no answer in time") from error
        except httpx2.HTTPError as error:
            raise DroppedError("no connection") from error
