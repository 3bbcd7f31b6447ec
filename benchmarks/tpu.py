"""Every program of the released sizes, compiled for TPUs that are not there: CPU seconds of compiling, memory a chip,
FLOPs and bytes, and the least time that the chip's rates of products and of memory allow.

    python -m benchmarks.tpu [--chip v5e v6e] [--mesh 1x1 4x1 2x2] [--program flow vocoder] [--json FILE]

needs the extra `tpu` and no TPU. A mesh is data x model: into how many parts rows and weights are split. FLOPs and
bytes are counted from the sizes (benchmarks/counts.py), since XLA counts a loop's body once; those of programs that are
not counted there are XLA's, and they have no loop. Of the language model's loop one step is counted.
"""

import argparse
import math
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # read when jax is imported: what runs here runs on the CPU
# Without these libtpu asks the cloud, for minutes, on which machine it is.
os.environ.setdefault("TPU_SKIP_MDS_QUERY", "1")

import jax
import numpy as np
from jax.experimental import topologies
from jax.sharding import Mesh

from benchmarks.machine import describe_machine
from benchmarks.table import Figure, add_json_option, print_table, write_figures
from benchmarks.tpu_programs import Program, programs
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.devices import Devices


@dataclass(frozen=True)
class Chip:
    """One chip: products of bfloat16 in FLOP/s, memory in bytes and bytes/s (https://cloud.google.com/tpu/docs), and
    the topology that four of them make."""

    name: str
    flops: float
    memory: float
    bandwidth: float
    topology: str

    def mesh(self, data: int, model: int) -> Devices:
        """Chips that are not there; CosyError without libtpu, and for more than the topology has."""
        try:
            found = topologies.get_topology_desc(self.topology, "tpu").devices
        except (RuntimeError, ValueError) as error:
            raise CosyError("There is no compiler for TPUs here: pip install 'cosy_jax[tpu]'.") from error
        if data * model > len(found):
            raise CosyError(f"A mesh of {data} x {model} chips is more than {len(found)}: choose a smaller one.")
        return Devices(Mesh(np.asarray(found[: data * model]).reshape(data, model), ("data", "model")))


CHIPS = {
    chip.name: chip
    for chip in (
        Chip("v5e", 197e12, 16 * 2**30, 819e9, "v5e:2x2"),
        Chip("v6e", 918e12, 32 * 2**30, 1640e9, "v6e:2x2"),
    )
}

# How the compiler says that a program's intermediate values are more than the chip has.
_WANTED = re.compile(r"RESOURCE_EXHAUSTED.*HLO temporaries \(([\d.]+)G\)", re.DOTALL)


@dataclass(frozen=True)
class Compiled:
    """What became of a program: CPU and wall seconds of lowering and compiling; bytes on each chip of arguments and of
    everything; FLOPs and bytes read or written of all chips together.

    Of one that the chip has no room for, `memory` is what its intermediate values take, and `arguments` is NaN."""

    program: Program
    cpu: float
    wall: float
    arguments: float
    memory: float
    flops: float
    bytes: float

    @property
    def fits(self) -> bool:
        """Whether the chip has room for it."""
        return not math.isnan(self.arguments)

    def seconds(self, chip: Chip, data: int, model: int) -> float:
        """The least that it takes on a mesh of chips, each of which does its part."""
        parts = model if self.program.copied else data * model
        return max(self.flops / chip.flops, self.bytes / chip.bandwidth) / parts


def compile_program(program: Program) -> Compiled:
    """Lowers and compiles for the devices that its shapes lie on."""
    cpu, wall = time.process_time(), time.perf_counter()
    compiled, lacking = None, 0.0
    try:
        compiled = program.lower().compile()
    except jax.errors.JaxRuntimeError as error:
        if not (wanted := _WANTED.search(str(error))):
            raise
        lacking = float(wanted[1]) * 2**30
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    if compiled is None:
        return Compiled(program, cpu, wall, math.nan, lacking, program.flops, program.bytes)
    memory, cost = compiled.memory_analysis(), compiled.cost_analysis()
    assert memory and cost  # a TPU's compiler tells both
    arguments = memory.argument_size_in_bytes
    all_of_it = arguments + memory.output_size_in_bytes - memory.alias_size_in_bytes + memory.temp_size_in_bytes
    counted = program.flops, program.bytes
    if not program.flops:
        counted = cost.get("flops", 0.0), cost.get("bytes accessed", 0.0)
    return Compiled(program, cpu, wall, arguments, all_of_it, *counted)


def compile_all(chip: Chip, data: int, model: int, config: ModelConfig, names: list[str]) -> Iterator[Compiled]:
    """The programs of those names, or all, one after the other."""
    for program in programs(chip.mesh(data, model), config, chip.memory):
        if not names or program.name in names:
            compiled = compile_program(program)
            fits = "" if compiled.fits else ", and the chip has no room for it"
            print(f"{chip.name} {data}x{model}: {program.name} in {compiled.cpu:.0f} CPU s{fits}", file=sys.stderr)
            yield compiled


def print_compiled(chip: Chip, mesh: tuple[int, int], compiled: list[Compiled]) -> None:
    data, model = mesh
    several = f"{data * model} chips: rows in {data} parts, weights in {model}"
    print(f"\n{chip.name}, {several if data * model > 1 else 'one chip'}")
    print_table(
        ("program", "sizes", "compiling, CPU s", "wall s", "arguments, GiB", "memory, GiB", "GFLOP", "GB", "least, ms"),
        [
            (c.program.name, c.program.sizes, c.cpu, c.wall)
            + ((c.arguments / 2**30, c.memory / 2**30) if c.fits else ("", f"no room: {c.memory / 2**30:.3g} inside"))
            + (c.flops / 1e9, c.bytes / 1e9, 1e3 * c.seconds(chip, data, model))
            for c in compiled
        ],
    )


def with_depth(config: ModelConfig, layers: int) -> ModelConfig:
    """The released widths with fewer equal layers of language model, flow and speech tokenizer."""
    return replace(
        config,
        llm=replace(config.llm, num_layers=layers),
        flow=replace(config.flow, depth=layers),
        speech_tokenizer=replace(config.speech_tokenizer, num_blocks=layers),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chip", nargs="+", default=list(CHIPS), choices=CHIPS)
    parser.add_argument("--mesh", nargs="+", default=["1x1", "4x1", "2x2"], metavar="DATAxMODEL")
    parser.add_argument("--program", nargs="+", default=[], metavar="NAME", help="(default: all)")
    parser.add_argument("--layers", type=int, metavar="N", help="of the large networks (default: all)")
    add_json_option(parser)
    args = parser.parse_args()
    print(describe_machine())
    config = with_depth(ModelConfig(), args.layers) if args.layers else ModelConfig()
    figures: list[Figure] = []
    for name in args.chip:
        for mesh in args.mesh:
            data, model = map(int, mesh.split("x"))
            compiled = list(compile_all(CHIPS[name], data, model, config, args.program))
            print_compiled(CHIPS[name], (data, model), compiled)
            for entry in compiled:
                figures += _figures(f"{name} {mesh}", CHIPS[name], (data, model), entry)
    write_figures(args.json, figures)


def _figures(where: str, chip: Chip, mesh: tuple[int, int], compiled: Compiled) -> Iterator[Figure]:
    label = f"{compiled.program.name}, {where}"
    yield Figure(f"{label}, compiling", compiled.cpu, "CPU s")
    yield Figure(f"{label}, memory", compiled.memory / 2**30, "GiB")
    yield Figure(f"{label}, least time", 1e3 * compiled.seconds(chip, *mesh), "ms")


if __name__ == "__main__":
    main()
