"""The server of `cosy-jax serve` in several replicas on a Ray cluster.

    pip install 'cosy_jax[ray,serve]'
    python deploy/ray_serve.py --weights weights/embedded --voices voices --replicas 1 4 [--gpus 1]

Replicas are added while requests wait and given back when it is quiet. A connection stays with one replica, so also a
WebSocket with all that it says; what outlives it, the saved voices, is in the folder `--voices`, which all nodes share.
SIGTERM or Ctrl-C: no new requests, what sounds has 30 s to end. Other nodes join with `ray start --address`.
"""

import argparse
import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import AutoscalingConfig, BackpressureConfig, HTTPOptions

from cosy_jax.nn import compile_cache
from cosy_jax.serve.settings import ServeSettings, read_keys


@dataclass(frozen=True)
class Model:
    """What every replica speaks with."""

    weights: str
    voices: str | None
    dtype: str
    cache: str
    device: str
    streams: int


@serve.ingress()
class Speech:
    """A replica: an engine and the application over it."""

    def __init__(self, model: Model, settings: ServeSettings) -> None:
        self._model, self._settings = model, settings

    def __serve_build_asgi_app__(self) -> Any:
        compile_cache.start_jax(self._model.cache, device=self._model.device)
        from cosy_jax.engine.engine import Engine
        from cosy_jax.engine.limits import Limits
        from cosy_jax.nn.precision import get_precision
        from cosy_jax.serve.app import make_app
        from cosy_jax.serve.service import Service
        from cosy_jax.synthesis.synthesizer import Synthesizer

        model = self._model
        synthesizer = Synthesizer(model.weights, precision=get_precision(model.dtype), voices=model.voices)
        engine = Engine(synthesizer, Limits(streams=model.streams))
        engine.warm()  # before the first request: until then other replicas answer
        return make_app(Service(engine, synthesizer, self._settings), warm=False)


def deployment(model: Model, settings: ServeSettings, args: argparse.Namespace) -> serve.Application:
    """Replicas by the queue: one more where each has more than `--streams` requests."""
    environment = {"JAX_PLATFORMS": "cuda,cpu" if args.gpus else "cpu"}
    if not args.gpus:
        environment["NPROC"] = str(max(1, int(args.cpus)))
    wrapped = serve.deployment(
        name="speech",
        autoscaling_config=AutoscalingConfig(
            min_replicas=args.replicas[0], max_replicas=args.replicas[1], target_ongoing_requests=model.streams
        ),
        max_ongoing_requests=2 * model.streams,
        max_queued_requests=args.queue,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=5),
        graceful_shutdown_timeout_s=settings.drain_seconds,
        ray_actor_options={
            "num_cpus": args.cpus,
            "num_gpus": args.gpus,
            "runtime_env": {"env_vars": environment},
        },
    )(Speech)
    return wrapped.bind(model, settings)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True, metavar="DIR", help="at the same path on every node")
    parser.add_argument("--voices", metavar="DIR", help="saved voices, likewise")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16", "int8"))
    parser.add_argument("--replicas", type=int, nargs=2, default=(1, 4), metavar=("LEAST", "MOST"))
    parser.add_argument("--streams", type=int, default=16, help="requests that a replica speaks at a time")
    parser.add_argument("--queue", type=int, default=256, help="requests that wait; the next one is refused with 429")
    parser.add_argument("--cpus", type=float, default=1.0, help="cores of a replica")
    parser.add_argument("--gpus", type=float, default=0.0, help="GPUs of a replica")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--api-key-file", metavar="FILE", help="keys, one a line: needed on any other --host")
    parser.add_argument("--address", help="of the Ray cluster (default: one on this machine)")
    args = parser.parse_args()
    settings = ServeSettings(args.host, args.port, keys=read_keys(args.api_key_file) if args.api_key_file else ())
    model = Model(
        str(Path(args.weights).absolute()),
        str(Path(args.voices).absolute()) if args.voices else None,
        args.dtype,
        compile_cache.default_cache(),
        "gpu" if args.gpus else "cpu",
        args.streams,
    )
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ended = threading.Event()
    ray.init(address=args.address)
    serve.start(http_options=HTTPOptions(host=args.host, port=args.port))
    serve.run(deployment(model, settings, args))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    print(f"listening on http://{args.host}:{args.port}", flush=True)
    ended.wait()
    serve.shutdown()


if __name__ == "__main__":
    main()
