"""`cosy-jax train`: teaches a stage."""

import argparse
from pathlib import Path
from typing import Any

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from cosy_jax.cli.common import add_command, add_compile_options, start_jax
from cosy_jax.cli.output import say, status, tell
from cosy_jax.cli.weights import add_weights_option

_STAGES = ("llm", "flow", "vocoder", "speech-tokenizer", "speaker-encoder")
_EXAMPLE = """cosy-jax train llm --weights weights/cosyvoice3 --data data/ann --out runs/ann --lora-rank 16
Ended by anything, the same command goes on where it was. Other settings, which TRAINING.md lists:
  cosy-jax train flow --weights weights/cosyvoice3 --data data/ann --out runs/flow --set steps=2000 --set ema=0.999"""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "train", "teach a stage from data that `dataset build` made", _EXAMPLE, run)
    parser.add_argument("stage", choices=_STAGES, help="what is trained")
    add_weights_option(parser)
    parser.add_argument("--data", required=True, metavar="DIR", help="a folder that `cosy-jax dataset build` wrote")
    parser.add_argument("--out", required=True, metavar="RUN", help="the run's folder; goes on where there is one")
    parser.add_argument("--config", metavar="FILE", help="settings in TOML")
    parser.add_argument("--set", metavar="NAME=VALUE", action="append", default=[], help="a setting, such as clip=1.0")
    parser.add_argument("--lora-rank", type=int, metavar="R", help="learn changes of rank R of the matrices alone")
    parser.add_argument(
        "--from-scratch", action="store_true", help="begin with random values of the sizes in --weights"
    )
    parser.add_argument("--model-parallel", type=int, default=1, metavar="N", help="devices to a copy of the weights")
    parser.add_argument(
        "--distributed",
        metavar="ADDRESS,N,I",
        nargs="?",
        const="",
        help="join the processes of several hosts: the first one's host:port, how many there are, and which this is, "
        "from 0; nothing where the cluster tells (TPU pods, Slurm, Open MPI)",
    )
    add_compile_options(parser)


def run(args: argparse.Namespace) -> int:
    from cosy_jax.nn.devices import all_devices
    from cosy_jax.train.run import Plan, train
    from cosy_jax.train.settings import default_settings, load_settings, parse_setting

    changes = dict(parse_setting(word) for word in args.set)
    if args.lora_rank is not None:
        changes["lora_rank"] = args.lora_rank
    stage = args.stage.replace("-", "_")
    settings = load_settings(args.config, changes, default_settings(stage))
    start_jax(args)
    if args.distributed is not None:
        _join(args.distributed)
    devices = all_devices(args.model_parallel)
    plan = Plan(
        stage, Path(args.weights), Path(args.data), Path(args.out), settings, args.from_scratch,
        devices,
    )  # fmt: skip
    with _bar() as bar:
        task = bar.add_task("starting", total=settings.steps)

        def told(step: int, figures: dict[str, float]) -> None:
            bar.update(task, completed=step, description=_summary(figures))
            if not status.is_terminal:
                say(f"step {step}: {_summary(figures)}")

        out = train(plan, told)
    tell(f"{out}: the model with what was learnt; figures in {args.out}/metrics.jsonl, losses.png and tensorboard")
    return 0


def _join(place: str) -> None:
    import jax

    from cosy_jax.errors import CosyError

    address, *numbers = place.split(",")
    if place and (len(numbers) != 2 or not all(number.isdecimal() for number in numbers)):
        raise CosyError(f"--distributed {place}: write ADDRESS,N,I, such as 10.0.0.1:1234,2,0, or nothing.")
    count, index = map(int, numbers) if numbers else (None, None)
    jax.distributed.initialize(address or None, count, index)


def _summary(figures: dict[str, float]) -> str:
    shown = [name for name in figures if name.endswith(("loss", "accuracy", "per_second", "product_share"))]
    return ", ".join(f"{name.replace('_', ' ')} {figures[name]:.4g}" for name in shown)


def _bar() -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, console=status, disable=not status.is_terminal)
