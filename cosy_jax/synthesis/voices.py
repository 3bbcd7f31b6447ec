"""Saved voices: what a recording contributes, encoded once and kept under a name.

A voices folder holds one file a voice, NAME.safetensors:

speech_tokens      int32 (L,), 25 Hz
mel                float32 (2 L, 80), 50 Hz, log amplitude
speaker_embedding  float32 (192,)
metadata           format, version, transcript, seconds, source (the recording's file name), encoders (the digest of
                   those that made it, which older files lack)

A name is looked for in one folder after the other (`voice_places`): the user's own comes before a converted folder's.
"""

import json
import os
import re
import unicodedata
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.numpy
from safetensors import SafetensorError, safe_open

from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.files import data_folder, write_whole
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.voice import Voice, check_voice

FORMAT = "cosy_jax voice"
VERSION = "1"

Places = str | Path | Sequence[Path]  # a folder, or several, of which the first that has a name gives its voice

_SUFFIX = ".safetensors"
_NAME = re.compile(r"\w[\w.-]*")
_LONGEST_NAME = 200  # bytes; file systems allow 255, and a temporary name is longer
_BROUGHT = "voices"  # in a converted folder
_DTYPES = {"speech_tokens": "int32", "mel": "float32", "speaker_embedding": "float32"}


class OldVoiceWarning(UserWarning):
    """A saved voice does not say which encoders made it."""


@dataclass(frozen=True)
class VoiceInfo:
    """What a voice file says about itself; of a file that cannot be used, only `name`, `path` and `problem`."""

    name: str
    path: Path
    seconds: float = 0.0  # of the recording
    transcript: str = ""
    source: str = ""  # file name of the recording, "" where it was made from samples
    encoders: str = ""  # digest of the encoders that made it, "" in older files
    problem: str = ""


def default_folder() -> Path:
    """The environment variable COSY_JAX_VOICES, or ~/.local/share/cosy_jax/voices; CosyError where there is no home."""
    if named := os.environ.get("COSY_JAX_VOICES"):
        return Path(named)
    if (folder := data_folder("voices")) is None:
        raise CosyError("Nobody knows your home folder: say where the voices are, or set COSY_JAX_VOICES.", "voices")
    return folder


def voice_places(given: str | Path | None, weights: str | Path | None) -> tuple[Path, ...]:
    """Where a voice is looked for by its name: in the folder that was given, else the user's own; then in the one that
    a converted folder brings. CosyError where there is neither."""
    brought = weights_voices(weights) if weights else None
    own = (brought,) if brought and brought.is_dir() else ()
    try:
        return (Path(given) if given else default_folder(), *own)
    except CosyError:
        if not own:
            raise
        return own


def weights_voices(weights: str | Path) -> Path:
    """The folder of saved voices that a converted folder brings, if it has any."""
    return Path(weights) / _BROUGHT


def check_new(folder: str | Path, name: str, overwrite: bool = False) -> None:
    """CosyError where `save_voice` would refuse the name: it is invalid, or taken and not to be overwritten."""
    path = _path(folder, name)
    if path.exists() and not overwrite:
        raise CosyError(f"A voice '{name}' exists in {path.parent}: choose another name, or overwrite it.", "overwrite")


def save_voice(
    folder: str | Path, name: str, voice: Voice, config: ModelConfig, overwrite: bool = False, source: str = ""
) -> Path:
    """Keep a voice of a model of these sizes under a name; the folder is created where needed, the file appears when
    it is complete.

    `source` is the file name of the recording. CosyError for an invalid or taken name, a voice of another model, or a
    folder that cannot be written.
    """
    check_new(folder, name, overwrite)
    check_voice(voice, config, voice.encoders)
    path = _path(folder, name)
    prompt = voice.prompt
    tensors = {key: np.ascontiguousarray(getattr(prompt, key), kind) for key, kind in _DTYPES.items()}
    _check_tensors(tensors, f"The voice '{name}'", "encode its recording again")
    metadata = {
        "format": FORMAT,
        "version": VERSION,
        "transcript": voice.transcript,
        "seconds": f"{len(prompt.speech_tokens) / config.token_rate:.2f}",
        "source": source,
        "encoders": voice.encoders,
    }
    write_whole(path, _in_one_order(safetensors.numpy.save(tensors, metadata)))
    return path


def _in_one_order(content: bytes) -> bytes:
    """A safetensors file whose metadata are in one order, not in the library's, which is another one each time: the
    same voice is the same file, and nothing that was spoken in it is spoken again."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:start]), sort_keys=True).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[start:]


def load_voice(places: Places, name: str) -> Voice:
    """The voice of this name. CosyError where there is none, or the file is damaged or foreign; `OldVoiceWarning`
    where it does not say which encoders made it. Whether a model can speak in it, `check_voice` tells."""
    path = _existing(places, name)
    with _opened(path) as file:
        info = _info(path, file)
        missing = sorted(_DTYPES.keys() - file.keys())
        if missing:
            raise CosyError(f"{path} lacks {', '.join(missing)}: save the voice again.")
        tensors = {key: file.get_tensor(key) for key in _DTYPES}
    _check_tensors(tensors, f"{path}", "save the voice again")
    if not info.encoders:
        warnings.warn(
            f"The voice '{name}' does not say which encoders made it: save it again if you have changed the weights.",
            OldVoiceWarning,
            stacklevel=2,
        )
    return Voice(Prompt(**tensors), info.transcript, info.encoders)


def inspect_voice(places: Places, name: str) -> VoiceInfo:
    """What the file says about itself, its tensors unread; errors as `load_voice`."""
    path = _existing(places, name)
    with _opened(path) as file:
        return _info(path, file)


def list_voices(places: Places) -> list[VoiceInfo]:
    """The voices that there are by name, read from their headers; none where there is no folder."""
    infos = []
    for name in _names(places):
        try:
            infos.append(inspect_voice(places, name))
        except CosyError as error:
            infos.append(VoiceInfo(name, _existing(places, name), problem=str(error)))
    return infos


def remove_voice(folder: str | Path, name: str) -> None:
    """Delete a voice. CosyError where there is none, or it cannot be deleted."""
    path = _existing(folder, name)
    try:
        path.unlink()
    except OSError as error:
        raise CosyError(f"Cannot delete {path}: {error.strerror}.") from error


def _path(folder: str | Path, name: str) -> Path:
    """Where the voice of this name is, or would be. Composed and decomposed letters are the same: macOS hands out
    names decomposed, and files that come from there keep them."""
    name = unicodedata.normalize("NFC", name)
    if not _NAME.fullmatch(name) or len(name.encode()) > _LONGEST_NAME:
        raise CosyError(
            f"The voice name {name[:_LONGEST_NAME]!r} is not valid: use letters, digits, '_', and behind the first of "
            "them '-' and '.'."
        )
    path = Path(folder) / f"{name}{_SUFFIX}"
    same = (each for each in Path(folder).glob(f"*{_SUFFIX}") if unicodedata.normalize("NFC", each.name) == path.name)
    return path if path.exists() else next(same, path)


def _name(path: Path) -> str:
    return unicodedata.normalize("NFC", path.name.removesuffix(_SUFFIX))


def _existing(places: Places, name: str) -> Path:
    """The file of the first place that has the voice."""
    folders = _folders(places)
    if path := next(filter(Path.is_file, (_path(folder, name) for folder in folders)), None):
        return path
    holds = "it holds" if len(folders) == 1 else "there are"
    known = ", ".join(_names(folders)) or "no voice"
    raise CosyError(f"No voice '{name}' in {' or '.join(map(str, folders))}: {holds} {known}.", "voice")


def _names(places: Places) -> list[str]:
    names = {_name(path) for folder in _folders(places) for path in folder.glob(f"*{_SUFFIX}") if path.is_file()}
    return sorted(name for name in names if _NAME.fullmatch(name))


def _folders(places: Places) -> tuple[Path, ...]:
    return (Path(places),) if isinstance(places, str | Path) else tuple(places)


@contextmanager
def _opened(path: Path) -> Iterator[safe_open]:
    try:
        with safe_open(path, framework="numpy") as file:
            yield file
    except (SafetensorError, OSError, TypeError, AttributeError) as error:  # the last two: a type that NumPy has not
        raise CosyError(f"{path} is truncated or no voice file: save the voice again.") from error


def _info(path: Path, file: safe_open) -> VoiceInfo:
    metadata = file.metadata() or {}
    if metadata.get("format") != FORMAT:
        raise CosyError(f"{path} is no voice file of cosy_jax: save the voice again.")
    if metadata.get("version") != VERSION:
        raise CosyError(
            f"{path} has format version {metadata.get('version')}, this program reads {VERSION}: "
            "update cosy_jax, or save the voice again."
        )
    try:
        seconds, texts = float(metadata["seconds"]), (metadata["transcript"], metadata["source"])
    except (KeyError, ValueError) as error:
        raise CosyError(f"The metadata of {path} are damaged: save the voice again.") from error
    return VoiceInfo(_name(path), path, seconds, *texts, metadata.get("encoders", ""))


def _check_tensors(tensors: dict[str, np.ndarray], what: str, remedy: str) -> None:
    """CosyError where a tensor is of another type or rank than a voice's, is not finite, or there is no token."""
    ranks = {"speech_tokens": 1, "mel": 2, "speaker_embedding": 1}
    for name, rank in ranks.items():
        found = tensors[name]
        if (found.ndim, found.dtype.name) != (rank, _DTYPES[name]):
            kind = f"{found.dtype} {found.shape}, not {_DTYPES[name]} of {rank} axes"
            raise CosyError(f"{what} holds {name} as {kind}: {remedy}.")
        if not np.isfinite(found).all():
            raise CosyError(f"{what} holds NaN or infinite values in {name}: {remedy}.")
    if np.min(tensors["speech_tokens"], initial=0) < 0 or not tensors["speech_tokens"].size:
        raise CosyError(f"{what} holds no speech tokens, or some below 0: {remedy}.")
