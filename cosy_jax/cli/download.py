"""`cosy-jax download`: released weights from a hub, converted."""

import argparse
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cosy_jax.cli.common import add_command
from cosy_jax.cli.convert import add_dtype_option
from cosy_jax.cli.output import file_progress, say, say_warning, status, tell

if TYPE_CHECKING:
    from cosy_jax.hub.remote import Hub

_EXAMPLE = """cosy-jax download Fun-CosyVoice3-0.5B
  cosy-jax download Fun-CosyVoice3-0.5B weights/cosyvoice3 --from modelscope --dtype bfloat16"""


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "download", "download released weights and convert them", _EXAMPLE, run)
    parser.add_argument("name", metavar="NAME", help="Fun-CosyVoice3-0.5B, or OWNER/NAME on the hub")
    parser.add_argument(
        "out",
        metavar="OUT_DIR",
        nargs="?",
        help="where the converted weights go (default: into ~/.local/share/cosy_jax/weights, and --weights NAME finds "
        "them)",
    )
    parser.add_argument(
        "--from",
        dest="hub",
        default="huggingface",
        choices=("huggingface", "modelscope"),
        help="the hub (default: %(default)s); a token is taken from HF_TOKEN or MODELSCOPE_API_TOKEN",
    )
    parser.add_argument("--revision", metavar="REV", help="branch, tag or commit (default: the hub's main branch)")
    parser.add_argument("--keep-source", action="store_true", help="keep the released files too, in OUT_DIR.source")
    add_dtype_option(parser)


def run(args: argparse.Namespace) -> int:
    warnings.showwarning = say_warning
    from cosy_jax.hub.download import download, look_up, source_folder
    from cosy_jax.hub.names import kept_in, repository

    repository(args.name)
    out = Path(args.out) if args.out else kept_in(args.name)
    hub = _hub(args.hub)
    release = look_up(hub, args.name, args.revision)
    say(f"{hub.title}: {release.repository} at {release.revision}, {release.size / 1e6:,.1f} MB")
    with file_progress() as progress:
        report = download(hub, release, out, args.dtype, args.keep_source, _also_in_lines(progress))
    tell(report.summary() if report else f"{out}: is there already, made of the same files")
    if (source := source_folder(out)).is_dir():
        tell(f"released files: {source}")
    tell(f"to speak with it: --weights {args.out or args.name}")
    return 0


def _hub(name: str) -> "Hub":
    if name == "modelscope":
        from cosy_jax.hub.model_scope import ModelScope

        return ModelScope()
    from cosy_jax.hub.hugging_face import HuggingFace

    return HuggingFace()


def _also_in_lines(progress: Callable[[str, int, int], None]) -> Callable[[str, int, int], None]:
    """Where there is no terminal for a bar, a line for each file as it begins."""
    begun = set()

    def told(file: str, done: int, total: int) -> None:
        if not status.is_terminal and file not in begun:
            begun.add(file)
            say(f"{file}, {total / 1e6:,.1f} MB")
        progress(file, done, total)

    return told
