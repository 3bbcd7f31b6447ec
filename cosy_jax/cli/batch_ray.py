"""`cosy-jax batch --ray`: the lines of a manifest spoken by all nodes of a Ray cluster."""

import argparse
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.batch_report import print_failures, print_summary, watch
from cosy_jax.cli.common import say_model, start_jax, text_options
from cosy_jax.cli.interrupt import Stop, two_interrupts
from cosy_jax.cli.output import say
from cosy_jax.errors import CosyError
from cosy_jax.nn.compile_cache import OFF

if TYPE_CHECKING:
    from cosy_jax.batch.manifest import Line
    from cosy_jax.batch.stats import Stats
    from cosy_jax.cluster.job import Block, Job, Workers
    from cosy_jax.cluster.storage import Storage
    from cosy_jax.cluster.tally import Tally
    from cosy_jax.synthesis.synthesizer import Synthesizer

_ONE_MACHINE: dict[str, Any] = {
    "workers": None,
    "worker_cpus": None,
    "worker_gpus": 0.0,
    "worker_tpus": 0,
    "block_lines": None,
    "layout": "files",
    "results": "jsonl",
}
_CPU_BLOCK, _BLOCK = 64, 256  # lines: four for each row of the language model, few of which are then empty at the end


def add_ray_options(parser: argparse.ArgumentParser) -> None:
    """What `speak_on_ray` reads beside the options of `batch`."""
    group = parser.add_argument_group("on a Ray cluster (pip install 'cosy_jax[ray]')")
    group.add_argument(
        "--ray",
        nargs="?",
        const="",
        metavar="ADDRESS",
        help="have the nodes of a cluster speak (default: the one that this machine is part of, else one of its own); "
        "--out may then be an address such as s3://bucket/speech, and so may the manifest, which may be a .parquet",
    )
    group.add_argument("--workers", type=int, metavar="N", help="at most so many (default: as many as find room)")
    group.add_argument("--worker-cpus", type=float, metavar="N", help="cores of each (default: the smallest node's)")
    group.add_argument("--worker-gpus", type=float, metavar="N", help="GPUs of each; 0.5 shares one")
    group.add_argument("--worker-tpus", type=int, metavar="N", help="TPU chips of each: 1, 2, 4 or 8")
    group.add_argument("--block-lines", type=int, metavar="N", help="lines that a worker is given at a time")
    group.add_argument(
        "--layout",
        choices=("files", "parquet", "tar"),
        help="audio in a file a line (default), or for millions of lines in shards, a block each: parquet with the "
        "bytes in a column, or tar for WebDataset",
    )
    group.add_argument("--results", choices=("jsonl", "parquet"), help="what results/ is written in (default: jsonl)")
    parser.set_defaults(**_ONE_MACHINE)


def check_ray_options(args: argparse.Namespace) -> None:
    """CosyError for what a cluster does not do, or one machine does not, before anything is read."""
    if args.ray is None:
        for name, value in _ONE_MACHINE.items():
            if getattr(args, name) != value:
                raise CosyError(f"--{name.replace('_', '-')} is for a cluster: give --ray too, or leave it out.")
        return
    if args.num_shards != 1 or args.plot or args.device:
        raise CosyError("--num-shards, --plot and --device are for one machine: leave them out with --ray.")
    if args.worker_gpus and args.worker_tpus:
        raise CosyError("A worker has either GPUs or TPU chips: give --worker-gpus or --worker-tpus.")
    for option, count in (("--workers", args.workers), ("--block-lines", args.block_lines)):
        if count is not None and count < 1:
            raise CosyError(f"{option} cannot be {count}: give 1 or more.")
    if args.worker_tpus not in (0, 1, 2, 4, 8):
        raise CosyError(f"A worker cannot have {args.worker_tpus} TPU chips: give 1, 2, 4 or 8.")
    if (args.worker_cpus is not None and args.worker_cpus <= 0) or args.worker_gpus < 0:
        raise CosyError("A worker needs more than nothing: give --worker-cpus and --worker-gpus above 0.")


def speak_on_ray(args: argparse.Namespace, plain: dict[str, Any] | None) -> int:
    """Speaks the manifest; the exit status. `plain`: the fields of every line of a plain text."""
    args.device = "cpu"  # of the driver, which is to leave the devices to the workers
    start_jax(args)
    try:
        from cosy_jax.cluster.run import connected
    except ImportError as error:
        raise CosyError(f"A cluster needs {error.name}: pip install 'cosy_jax[ray]'.") from error
    from cosy_jax.cluster.storage import open_storage
    from cosy_jax.nn.precision import get_precision
    from cosy_jax.synthesis.synthesizer import Synthesizer

    synthesizer = Synthesizer(
        Path(args.weights).absolute(), args.llm, get_precision(args.dtype), voices=args.voices, adapter=args.adapter
    )
    say_model(synthesizer)
    storage = open_storage(args.out)
    with connected(args.ray or None), storage.held():
        return _speak(args, synthesizer, storage, plain)


def _speak(
    args: argparse.Namespace, synthesizer: "Synthesizer", storage: "Storage", plain: dict[str, Any] | None
) -> int:
    from cosy_jax.batch.delivery import Delivery, with_origins
    from cosy_jax.batch.entries import SHOWN_FAILURES
    from cosy_jax.batch.manifest import Reading, count_lines, read_manifest
    from cosy_jax.batch.origin import Origins
    from cosy_jax.batch.stats import Stats
    from cosy_jax.cluster.manifests import local_manifest
    from cosy_jax.cluster.record import Record

    planned, workers = Stats(), _workers(args)
    with local_manifest(args.manifest) as (manifest, folder), Record(storage, args.results, args.layout) as record:
        reading = Reading(folder, text_options(args), plain)
        total, written = count_lines(manifest), read_manifest(manifest, reading=reading)
        delivery = Delivery(record, planned, synthesizer.config.sample_rate, args.force)
        lines = delivery.pending(with_origins(written, Origins(synthesizer)))
        blocks = _blocks(lines, args.block_lines or (_CPU_BLOCK if workers.device == "cpu" else _BLOCK))
        job, stop = _job(args, synthesizer, storage, record.run), Stop()
        tally = _run(job, workers, blocks, planned, total, stop)
    print_summary(tally.shown, tally.compiled)
    print_failures([*delivery.failures, *tally.failures][:SHOWN_FAILURES], tally.shown.failed, 0)
    if stop.is_set():
        return stop.status
    return 1 if tally.shown.failed else 0


def _run(
    job: "Job", workers: "Workers", blocks: "Iterable[Block]", planned: "Stats", total: int, stop: Stop
) -> "Tally":
    """Under a progress bar."""
    from cosy_jax.cluster.run import run_blocks
    from cosy_jax.cluster.tally import Tally

    tally = Tally(planned)
    with two_interrupts(stop, lambda: say("finishing the lines that are begun; Ctrl-C again to stop at once")):
        watch(lambda: run_blocks(job, workers, blocks, tally, stop), tally.shown, total)
    return tally


def _workers(args: argparse.Namespace) -> "Workers":
    """Where nobody says how many cores: beside a device one, else all of the smallest node."""
    from cosy_jax.cluster.job import Workers
    from cosy_jax.cluster.run import nodes

    found = nodes()
    cores = [node["CPU"] for node in found if node.get("CPU")]
    alone = 1.0 if args.worker_gpus or args.worker_tpus else min(cores, default=1.0)
    workers = Workers(args.workers, args.worker_cpus or alone, args.worker_gpus, args.worker_tpus)
    fitting, asked = workers.fitting(found), ", ".join(f"{count:g} {name}" for name, count in workers.resources.items())
    say(f"cluster: nodes {len(found)}, workers of {asked} that find room {fitting}")
    if not fitting:
        say("warning: waiting for a node that has room for one")
    return workers


def _job(args: argparse.Namespace, synthesizer: "Synthesizer", storage: "Storage", run: int) -> "Job":
    """With the paths as every node finds them, from whichever folder."""
    from cosy_jax.cluster.job import Job

    cache: str = args.compile_cache
    return Job(
        weights=str(synthesizer.weights),
        llm=args.llm,
        adapter=str(Path(args.adapter).absolute()) if args.adapter else None,
        voices=str(synthesizer.voices[0].absolute()),
        dtype=args.dtype,
        cache=cache if cache.lower() == OFF else str(Path(cache).absolute()),
        verbose=args.verbose,
        slots=args.slots,
        flow_rows=args.flow_rows,
        model_parallel=args.model_parallel,
        storage=storage,
        layout=args.layout,
        form=args.results,
        run=run,
    )


def _blocks(lines: "Iterator[Line]", size: int) -> "Iterator[Block]":
    from cosy_jax.cluster.job import Block

    number = 0
    while block := tuple(islice(lines, size)):
        yield Block(number, block)
        number += 1
