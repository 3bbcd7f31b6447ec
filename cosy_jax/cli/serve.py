"""`cosy-jax serve`: an HTTP server that OpenAI's clients can use, and a page."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import (
    add_command,
    add_llm_option,
    add_runtime_options,
    add_voices_folder,
    say_model,
    start_jax,
)
from cosy_jax.cli.output import say
from cosy_jax.cli.weights import add_weights_option
from cosy_jax.errors import CosyError

if TYPE_CHECKING:
    from cosy_jax.serve.service import Service
    from cosy_jax.serve.settings import ServeSettings

_EXAMPLE = """cosy-jax serve
  cosy-jax serve --weights weights/cosyvoice3 --dtype bfloat16 --port 8080
  cosy-jax serve --weights weights/cosyvoice3 --host 0.0.0.0 --api-key-file keys.txt

then, with any client of OpenAI's speech API:
  curl http://127.0.0.1:8000/v1/audio/speech -H 'Content-Type: application/json' \\
      -d '{"input": "Good morning.", "voice": "anna"}' --output morning.mp3

The page is at /, the interface at /docs, figures for Prometheus at /metrics."""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "serve", "answer requests over HTTP", _EXAMPLE, run)
    add_weights_option(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="(default: %(default)s; 0: any that is free)")
    parser.add_argument("--api-key-file", metavar="FILE", help="keys, one a line: requests must bring one")
    parser.add_argument("--prompts", metavar="DIR", help="folder of recordings that /synthesize may name")
    parser.add_argument("--max-streams", type=int, metavar="N", help="requests spoken at a time (default: as fits)")
    parser.add_argument("--queue", type=int, metavar="N", help="requests that wait behind them (default: 256)")
    parser.add_argument("--memory", type=float, metavar="GB", help="of what streams and voices keep (default: as fits)")
    parser.add_argument("--cold", action="store_true", help="compile programs when they are first needed, not at start")
    add_voices_folder(parser)
    add_llm_option(parser)
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    settings = _settings(args)
    start_jax(args)
    try:
        from cosy_jax.serve.run import listen, serve
    except ImportError as error:
        raise CosyError(f"The server needs {error.name}: pip install 'cosy_jax[serve]'.") from error
    with listen(settings) as socket:
        service = _service(args, settings)
        port = socket.getsockname()[1]
        say(f"engine: {service.engine.budget}")
        say(f"listening on http://{settings.host}:{port}" + ("" if args.cold else ", ready once /ready says so"))
        serve(service, socket, warm=not args.cold)
    return 0


def _settings(args: argparse.Namespace) -> "ServeSettings":
    from cosy_jax.serve.settings import LOOPBACK, ServeSettings, read_keys

    if not 0 <= args.port <= 65535:
        raise CosyError(f"There is no port {args.port}: use one from 1 to 65535.")
    prompts = Path(args.prompts) if args.prompts else None
    if prompts is not None and not prompts.is_dir():
        raise CosyError(f"There is no folder {prompts}: make it, or leave --prompts out.")
    keys = read_keys(args.api_key_file) if args.api_key_file else ()
    settings = ServeSettings(args.host, args.port, keys=keys, prompts=prompts)
    if args.host not in LOOPBACK:
        say(f"warning: on {args.host} others can reach this server; put a proxy with TLS in front of it")
    return settings


def _service(args: argparse.Namespace, settings: "ServeSettings") -> "Service":
    from cosy_jax.engine.engine import Engine
    from cosy_jax.engine.limits import Limits
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.serve.service import Service
    from cosy_jax.synthesis.synthesizer import Synthesizer

    given = {"streams": args.max_streams, "queue": args.queue}
    given = {name: value for name, value in given.items() if value is not None}
    memory = None if args.memory is None else int(args.memory * 1e9)
    synthesizer = Synthesizer(args.weights, args.llm, get_precision(args.dtype), voices=args.voices)
    say_model(synthesizer)
    return Service(Engine(synthesizer, Limits(memory=memory, **given)), synthesizer, settings)
