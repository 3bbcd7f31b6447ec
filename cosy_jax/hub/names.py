"""What a release is called, and where downloaded weights are kept: by repository, in the user's data folder."""

import re
from collections.abc import Iterator
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.files import data_folder

# The same on Hugging Face and ModelScope, as the reference's README has them.
RELEASES = {"Fun-CosyVoice3-0.5B": "FunAudioLLM/Fun-CosyVoice3-0.5B-2512"}
_REPOSITORY = re.compile(r"[A-Za-z0-9_][\w.-]{,95}/[A-Za-z0-9_][\w.-]{,95}", re.ASCII)  # no way out of a folder


def repository(name: str) -> str:
    """OWNER/NAME on a hub, of a release's short name or of itself; CosyError for what is neither."""
    full = RELEASES.get(name, name)
    if not _REPOSITORY.fullmatch(full):
        raise CosyError(f"No release is called {name[:100]!r}: take {' or '.join(RELEASES)}, or OWNER/NAME on the hub.")
    return full


def kept_in(name: str) -> Path:
    """Where the weights of this name are, or would be; CosyError where the name is none, or there is no home."""
    if (folder := data_folder("weights")) is None:
        raise CosyError("Nobody knows your home folder: say where the weights are to go.")
    return folder / repository(name)


def find_downloaded(name: str) -> Path | None:
    """The folder of the weights that were downloaded under this name, if there are any."""
    try:
        folder = kept_in(name)
    except CosyError:
        return None
    return folder if _is_converted(folder) else None


def list_downloaded() -> Iterator[tuple[str, Path]]:
    """Name, the short one where there is one, and folder of all weights that were downloaded, in order."""
    if (root := data_folder("weights")) is None:
        return
    short = {full: name for name, full in RELEASES.items()}
    for folder in sorted(root.glob("*/*")):
        full = folder.relative_to(root).as_posix()
        if _REPOSITORY.fullmatch(full) and _is_converted(folder):
            yield short.get(full, full), folder


def _is_converted(folder: Path) -> bool:
    return (folder / "config.json").is_file()
