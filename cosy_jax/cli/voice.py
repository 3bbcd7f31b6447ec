"""`cosy-jax voice`: voices saved under a name."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table
from rich.text import Text

from cosy_jax.cli.common import (
    EXIT_STATUS,
    add_command,
    add_compile_options,
    add_trim_option,
    add_voices_folder,
    start_jax,
)
from cosy_jax.cli.output import console, progress_bar, shown, tell
from cosy_jax.cli.texts import text_argument
from cosy_jax.cli.transcribe import add_transcribe_option, transcript_option
from cosy_jax.cli.weights import add_weights_option, weights_at_hand

if TYPE_CHECKING:
    from cosy_jax.synthesis.voices import VoiceInfo

_EXAMPLES = """  cosy-jax voice add anna --prompt-wav anna.wav --prompt-text "What Anna says."
  cosy-jax voice list --weights weights/cosyvoice3
  cosy-jax synthesize --voice anna --text "Good morning." --out morning.wav
  cosy-jax voice remove anna"""
_ADD = """cosy-jax voice add anna --weights weights/embedded --prompt-wav anna.wav --prompt-text "What Anna says." """


def add_parser(commands: Any) -> None:
    parser = commands.add_parser(
        "voice",
        help="save voices under a name, list, show and remove them",
        description="Save voices under a name, list, show and remove them.",
        epilog=f"examples:\n{_EXAMPLES}\n\n{EXIT_STATUS}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    add = add_command(actions, "add", "save the voice of a recording under a name", _ADD.strip(), run_add)
    add.add_argument(
        "name", metavar="NAME", type=text_argument, help="letters, digits, '_', and behind the first '-' and '.'"
    )
    add_weights_option(add)
    add.add_argument("--prompt-wav", required=True, metavar="FILE", help="the recording, up to 30 s")
    add_trim_option(add)
    add.add_argument("--prompt-text", type=text_argument, help="what is said in it; mode zero-shot needs it")
    add_transcribe_option(add)
    add.add_argument("--force", action="store_true", help="replace the voice of this name")
    add_voices_folder(add)
    add_compile_options(add)
    listed = add_command(
        actions, "list", "list the saved voices, and the weights' own", "cosy-jax voice list", run_list
    )
    shown = add_command(actions, "show", "tell what a saved voice holds", "cosy-jax voice show anna", run_show)
    removed = add_command(actions, "remove", "delete a saved voice", "cosy-jax voice remove anna", run_remove)
    for action in (shown, removed):
        action.add_argument("name", metavar="NAME", type=text_argument, help="of a saved voice")
    for action in (listed, shown, removed):
        add_voices_folder(action)
    for action in (listed, shown):
        # Not `weights`: without any there are still the user's own voices.
        action.add_argument(
            "--weights", metavar="DIR", dest="bringing", help="whose own voices come behind (default: as for speaking)"
        )


def run_add(args: argparse.Namespace) -> int:
    start_jax(args)
    from cosy_jax.synthesis.synthesizer import Synthesizer
    from cosy_jax.synthesis.voices import check_new, inspect_voice, save_voice

    folder = _folder(args)
    check_new(folder, args.name, args.force)
    transcript = transcript_option(args) or ""
    synthesizer = Synthesizer(args.weights)
    with progress_bar() as bar:
        bar.add_task("prompt", total=None)
        voice = synthesizer.voice(args.prompt_wav, transcript, args.trim)
    save_voice(folder, args.name, voice, synthesizer.config, args.force, Path(args.prompt_wav).name)
    _show(inspect_voice(folder, args.name))
    return 0


def run_list(args: argparse.Namespace) -> int:
    from cosy_jax.synthesis.voices import list_voices

    places = _places(args)
    voices = list_voices(places)
    if not voices:
        tell(f"No voices in {' or '.join(map(str, places))}: save one with `cosy-jax voice add`.")
        return 0
    table = Table("voice", "seconds", "recording", "transcript", box=None)
    for info in voices:
        seconds = "" if info.problem else f"{info.seconds:.2f}"
        cells = (info.name, seconds, info.source, info.problem or info.transcript)
        table.add_row(*(Text(shown(cell)) for cell in cells))
    console.print(table)
    return 0


def run_show(args: argparse.Namespace) -> int:
    from cosy_jax.synthesis.voices import inspect_voice, load_voice

    places = _places(args)
    load_voice(places, args.name)
    _show(inspect_voice(places, args.name))
    return 0


def run_remove(args: argparse.Namespace) -> int:
    from cosy_jax.synthesis.voices import remove_voice

    remove_voice(_folder(args), args.name)
    tell(f"Voice '{args.name}' removed.")
    return 0


def _show(info: "VoiceInfo") -> None:
    for title, value in (
        ("voice", info.name),
        ("file", str(info.path)),
        ("seconds", f"{info.seconds:.2f}"),
        ("recording", info.source or "not known"),
        ("transcript", info.transcript or "none: for modes cross-lingual and instruct"),
    ):
        tell(f"{title + ':':<12}{value}")


def _places(args: argparse.Namespace) -> tuple[Path, ...]:
    from cosy_jax.synthesis.voices import voice_places

    return voice_places(args.voices, weights_at_hand(args.bringing))


def _folder(args: argparse.Namespace) -> Path:
    """Where voices are saved and removed: never among those that weights bring."""
    from cosy_jax.synthesis.voices import default_folder

    return Path(args.voices) if args.voices else default_folder()
