"""Which recogniser listens, as it is named on the command line."""

from importlib.metadata import version
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.recognise.recogniser import Recogniser

POCKETSPHINX = "pocketsphinx"
NAMES = (POCKETSPHINX, "faster-whisper:PATH", "transformers:PATH")


def load_recogniser(name: str) -> Recogniser:
    """The recogniser of one of `NAMES`, loaded from its folder; nothing is downloaded. CosyError for another name, a
    folder that is not there, and where what it needs is not installed."""
    if name == POCKETSPHINX:
        from cosy_jax.recognise.pocketsphinx import PocketSphinx

        return PocketSphinx()
    kind, _, folder = name.partition(":")
    if kind not in ("faster-whisper", "transformers") or not folder:
        raise CosyError(f"There is no recogniser '{name}': choose {NAMES[0]}, {NAMES[1]} or {NAMES[2]}.")
    if not Path(folder).is_dir():  # these packages would take it for the name of a model to download
        raise CosyError(f"The recogniser's folder {folder} does not exist: give the path of its model.")
    if kind == "faster-whisper":
        from cosy_jax.recognise.whisper import FasterWhisper

        return FasterWhisper(folder)
    from cosy_jax.recognise.hugging_face import HuggingFace

    return HuggingFace(folder)


def identity(name: str) -> list[str | int]:
    """What tells one recogniser from another of the same name: its version, or names and sizes of its files."""
    if name == POCKETSPHINX:
        return [name, version(POCKETSPHINX)]
    folder = Path(name.partition(":")[2])
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [name.partition(":")[0], *(part for path in files for part in (path.name, path.stat().st_size))]
