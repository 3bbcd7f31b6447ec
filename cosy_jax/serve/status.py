"""Whether the server is well, what it has, and its figures for Prometheus."""

import time
from collections.abc import Iterator
from typing import Any

import jax
from fastapi import APIRouter
from fastapi.responses import JSONResponse
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from cosy_jax.engine.meters import Histogram
from cosy_jax.serve.service import Service
from cosy_jax.serve.speech import Served

router = APIRouter(tags=["server"])
_BEGAN = int(time.time())
_COUNTERS = {
    "pieces": "Pieces of audio given to listeners",
    "late_pieces": "Pieces that came when the listener had heard all there was",
    "batches": "Programs of flow and vocoder run",
    "batch_rows": "Pieces in them",
    "drawn_ids": "Speech tokens drawn",
    "decode_steps": "Steps of the language model",
    "audio_seconds": "Seconds of audio",
    "voices_computed": "Voices computed",
    "voices_reused": "Requests in a voice that was kept",
    "voices_forgotten": "Voices forgotten for room",
}
_GAUGES = {
    "queued": "Requests that wait",
    "active": "Requests that are spoken",
    "paused": "Streams whose listeners take no more",
    "decode_rows": "Rows of the language model on the device",
    "free_pages": "Seconds of speech that there is memory for",
    "voices": "Voices that are kept",
}
_HISTOGRAMS = {
    "first_audio": "Seconds from a request to its first audio",
    "whole_request": "Seconds from a request to its end",
    "waited": "Seconds in the queue",
    "slack": "Seconds that a piece came ahead of its listener",
}


@router.get("/health", summary="Whether the server runs")
def health() -> dict[str, str]:
    return {"status": "ok"}


@router.get("/ready", summary="Whether all programs are compiled")
def ready(service: Served) -> JSONResponse:
    if service.ready:
        return JSONResponse({"status": "ready"})
    done, of = service.programs or (None, None)
    return JSONResponse({"status": "warming", "programs": done, "of": of}, 503)


@router.get("/v1/models", summary="The model")
def models(service: Served) -> dict[str, Any]:
    return {"object": "list", "data": [_model(service)]}


def _model(service: Service) -> dict[str, Any]:
    limits = {"longest_text": service.settings.longest_text}  # characters; for the page's counter
    return {"id": service.settings.model, "object": "model", "created": _BEGAN, "owned_by": "cosy_jax"} | limits


@router.get("/metrics", response_class=Response, summary="Figures for Prometheus")
def metrics(service: Served) -> Response:
    registry = CollectorRegistry()
    registry.register(_Figures(service))
    return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)


class _Figures:
    """The engine's meters under Prometheus' names."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        meters = self._service.engine.meters
        requests = CounterMetricFamily("cosy_jax_requests", "Requests by how they ended", labels=["result"])
        for result, count in self._service.results.items():
            requests.add_metric([result], count)
        yield requests
        for name, text in _COUNTERS.items():
            yield CounterMetricFamily(f"cosy_jax_{name}", text, value=getattr(meters, name))
        for name, text in _GAUGES.items():
            yield GaugeMetricFamily(f"cosy_jax_{name}", text, value=getattr(meters, name))
        for name, text in _HISTOGRAMS.items():
            yield _histogram(f"cosy_jax_{name}_seconds", text, getattr(meters, name))
        stats = jax.local_devices()[0].memory_stats() or {}
        if "bytes_in_use" in stats:
            yield GaugeMetricFamily("cosy_jax_device_bytes", "Memory in use on the device", value=stats["bytes_in_use"])


def _histogram(name: str, text: str, values: Histogram) -> HistogramMetricFamily:
    below, buckets = 0, []
    for bound, count in zip((*values.bounds, float("inf")), values.counts, strict=True):
        below += count
        buckets.append((str(bound) if bound != float("inf") else "+Inf", below))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=values.total)
