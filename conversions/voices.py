"""Saved voices that a converted folder brings: they come along where its prompt encoders stay what they were."""

import json
import shutil
import warnings
from pathlib import Path

from cosy_jax.checkpoint.reader import encoders_digest
from cosy_jax.files import write_whole
from cosy_jax.synthesis.voices import list_voices, weights_voices

from .output import file_record


class VoiceLeftWarning(UserWarning):
    """A saved voice does not come along."""


def keep_voices(source: Path, folder: Path) -> None:
    """Copies the voices of the folder `source` into the converted folder `folder`, those that it has already aside.
    Voices of other encoders, which it could not speak in, are left where they are; `VoiceLeftWarning` names them."""
    if not (found := list_voices(weights_voices(source))):
        return
    encoders, into, left = encoders_digest(folder), weights_voices(folder), []
    for info in found:
        if info.problem or info.encoders != encoders:
            left.append(info.name)
        elif not (path := into / info.path.name).exists():
            into.mkdir(exist_ok=True)
            shutil.copyfile(info.path, path)
    if left:
        warnings.warn(
            f"Of the voices in {weights_voices(source)}, {', '.join(left)} were not made with these encoders and are "
            "left out: save them again",
            VoiceLeftWarning,
            stacklevel=2,
        )
    if into.is_dir():
        record_voices(folder)


def record_voices(folder: Path) -> None:
    """Lets config.json have digest and size of the voices that the folder brings, as of its other files."""
    path, brought = folder / "config.json", weights_voices(folder)
    content = json.loads(path.read_text(encoding="utf-8"))
    voices = {f"{brought.name}/{info.path.name}": file_record(info.path) for info in list_voices(brought)}
    others = {
        name: record for name, record in content.get("files", {}).items() if not name.startswith(f"{brought.name}/")
    }
    content["files"] = others | voices
    write_whole(path, (json.dumps(content, indent=2) + "\n").encode())
