"""The folder that a conversion writes: whole or not at all, and never over files of another kind."""

import errno
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from cosy_jax.checkpoint.reader import FORMAT_VERSION, STAGES, stage_path
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voices import list_voices, weights_voices

from .source import brief, read_small
from .tokenizer_files import TOKENIZER_FILES
from .workspace import NEW, OLD, workspace

TOKENIZER = "tokenizer"  # folder
_MAX_MANIFEST = 1 << 20  # bytes


def check_output(out_dir: Path) -> None:
    """CosyError unless the path is free, an empty folder, or an earlier conversion and nothing else: it is replaced."""
    if not out_dir.exists():
        return
    if not out_dir.is_dir():
        raise CosyError(f"{out_dir} is a file: name a folder to write to.")
    try:
        foreign = _foreign(out_dir)
    except OSError as error:
        raise CosyError(f"{out_dir} cannot be read ({error.strerror}): choose another place.") from error
    if foreign is not None:
        name = brief(foreign.relative_to(out_dir))
        raise CosyError(f"{out_dir} holds files that are no converted model ({name}): name a new or empty folder.")


def _foreign(folder: Path) -> Path | None:
    """Something in the folder that no conversion has written; None where all of it is ours."""
    present = sorted(folder.iterdir())
    files = {folder / "config.json", *(stage_path(folder, stage) for stage in STAGES)}
    tokenizer = folder / TOKENIZER
    if present and not _is_manifest(folder / "config.json"):
        return next((path for path in present if path not in files and path != tokenizer), present[0])
    if tokenizer in present and tokenizer.is_dir():
        present = [path for path in present if path != tokenizer] + sorted(tokenizer.iterdir())
        files |= {tokenizer / name for name in TOKENIZER_FILES}
    if (voices := weights_voices(folder)) in present and voices.is_dir():
        present = [path for path in present if path != voices] + sorted(voices.iterdir())
        files |= {info.path for info in list_voices(voices)}
    return next((path for path in present if path not in files or not path.is_file()), None)


def _is_manifest(path: Path) -> bool:
    try:
        content = json.loads(read_small(path, _MAX_MANIFEST))
    except (CosyError, ValueError, RecursionError):
        return False
    return isinstance(content, dict) and "format_version" in content


@contextmanager
def written_whole(out_dir: Path) -> Iterator[Path]:
    """A folder beside `out_dir` that takes its place when the block ends well; nothing is left of it otherwise, after
    SIGKILL when the next one is written there."""
    created = [parent for parent in out_dir.parents if not parent.exists()]
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        with workspace(out_dir) as place:
            folder = place / NEW
            folder.mkdir()
            yield folder
            check_output(out_dir)  # what came into it meanwhile
            _replace(folder, out_dir, place / OLD)
    except OSError as error:
        reason = f"{error.strerror}: {error.filename or out_dir}"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full"
        raise CosyError(f"{out_dir} cannot be written ({reason}): choose another place.") from error
    finally:
        for parent in created:
            with suppress(OSError):  # it holds something, or was never made
                parent.rmdir()


def _replace(folder: Path, out_dir: Path, old: Path) -> None:
    try:
        if out_dir.exists():
            out_dir.rename(old)
        folder.rename(out_dir)
    except BaseException:
        if old.exists() and not out_dir.exists():
            old.rename(out_dir)
        raise


def write_manifest(
    path: Path, config: ModelConfig, dtype: str, sources: dict[str, dict[str, Any]], variants: tuple[str, ...]
) -> None:
    """Writes config.json beside the weights; `sources` holds digest and size of each file that was converted."""
    folder = path.parent
    written = [stage_path(folder, stage) for stage in STAGES] + [folder / TOKENIZER / name for name in TOKENIZER_FILES]
    content = {
        "format_version": FORMAT_VERSION,
        "dtype": dtype,
        "model": config.to_dict(),
        "sources": sources,
        "files": {file.relative_to(folder).as_posix(): file_record(file) for file in written if file.is_file()},
        "llm_variants": list(variants),
    }
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def file_record(path: Path) -> dict[str, Any]:
    """A file's digest and size, as config.json keeps them."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"sha256": digest, "bytes": path.stat().st_size}
