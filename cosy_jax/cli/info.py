"""`cosy-jax info`: what a converted folder holds."""

import argparse
from typing import Any

from rich.table import Table
from rich.text import Text

from cosy_jax.cli.common import add_command
from cosy_jax.cli.output import console, shown


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "info", "tell what a folder of weights holds", "cosy-jax info weights/tiny", run)
    parser.add_argument("weights", metavar="DIR", help="a folder that `cosy-jax convert` wrote")
    parser.add_argument("--verify", action="store_true", help="read every file and compare it with its digest")


def run(args: argparse.Namespace) -> int:
    from cosy_jax.checkpoint.integrity import check_complete, load_tokenizer, open_folder, verify_digests
    from cosy_jax.checkpoint.reader import describe
    from cosy_jax.synthesis.voices import list_voices, weights_voices

    found, config = describe(args.weights), open_folder(args.weights)
    table = Table("stage", "file", "parameters", "MB", box=None)
    for stage, entry in found["stages"].items():
        table.add_row(stage, entry["file"], f"{entry['parameters']:,}", f"{entry['bytes'] / 1e6:.1f}")
    table.add_row("all", "", f"{found['parameters']:,}", f"{found['bytes'] / 1e6:.1f}")
    console.print(table)
    llm, flow = config.llm, config.flow
    console.print(f"stored as {found['dtype']}, format version {found['format_version']}")
    console.print(f"language models: {', '.join(found['llm_variants'])}")
    console.print(f"language model: {llm.num_layers} layers of {llm.hidden_size}; flow: {flow.depth} of {flow.dim}")
    if voices := list_voices(weights_voices(args.weights)):
        console.print(Text(shown(f"voices: {', '.join(info.name for info in voices)}")), soft_wrap=True)
    check_complete(args.weights)
    load_tokenizer(args.weights, config)
    if args.verify:
        console.print(f"unchanged since the conversion: {', '.join(verify_digests(args.weights))}", soft_wrap=True)
    return 0
