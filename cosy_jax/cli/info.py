"""`cosy-jax info`: what a converted folder holds, and which ones were downloaded."""

import argparse
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from cosy_jax.cli.common import add_command
from cosy_jax.cli.output import console, shown, tell
from cosy_jax.cli.weights import find_weights
from cosy_jax.errors import CosyError
from cosy_jax.hub.names import RELEASES, list_downloaded


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "info", "tell what a folder of weights holds", "cosy-jax info weights/embedded", run)
    parser.add_argument(
        "folder",
        metavar="DIR",
        nargs="?",
        help="a folder that `cosy-jax convert` wrote, or a name that was downloaded (default: list those names)",
    )
    parser.add_argument("--verify", action="store_true", help="read every file and compare it with its digest")


def run(args: argparse.Namespace) -> int:
    if args.folder is None:
        return _list(args.verify)
    return _tell(Path(find_weights(args.folder)), args.verify)


def _list(verify: bool) -> int:
    """The weights that were downloaded, each with its folder."""
    if verify:
        raise CosyError("Say which weights to verify: give their folder, or their name.")
    if not (found := list(list_downloaded())):
        tell(f"No weights were downloaded: `cosy-jax download {next(iter(RELEASES))}` does it.")
        return 0
    from cosy_jax.checkpoint.reader import describe

    table = Table("name", "stored as", "MB", "folder", box=None)
    for name, folder in found:
        try:
            about = describe(folder)
            table.add_row(*map(shown, (name, str(about["dtype"]), f"{about['bytes'] / 1e6:.1f}", str(folder))))
        except CosyError as error:
            table.add_row(name, "damaged", "", shown(str(error)))
    console.print(table)
    return 0


def _tell(weights: Path, verify: bool) -> int:
    from cosy_jax.checkpoint.integrity import check_complete, load_tokenizer, open_folder, verify_digests
    from cosy_jax.checkpoint.reader import describe
    from cosy_jax.synthesis.voices import list_voices, weights_voices

    found, config = describe(weights), open_folder(weights)
    table = Table("stage", "file", "parameters", "MB", box=None)
    for stage, entry in found["stages"].items():
        table.add_row(stage, entry["file"], f"{entry['parameters']:,}", f"{entry['bytes'] / 1e6:.1f}")
    table.add_row("all", "", f"{found['parameters']:,}", f"{found['bytes'] / 1e6:.1f}")
    console.print(table)
    llm, flow = config.llm, config.flow
    console.print(f"stored as {found['dtype']}, format version {found['format_version']}")
    console.print(f"language models: {', '.join(found['llm_variants'])}")
    console.print(f"language model: {llm.num_layers} layers of {llm.hidden_size}; flow: {flow.depth} of {flow.dim}")
    if voices := list_voices(weights_voices(weights)):
        console.print(Text(shown(f"voices: {', '.join(info.name for info in voices)}")), soft_wrap=True)
    check_complete(weights)
    load_tokenizer(weights, config)
    if verify:
        console.print(f"unchanged since the conversion: {', '.join(verify_digests(weights))}", soft_wrap=True)
    return 0
