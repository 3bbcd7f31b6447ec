"""Whether a converted folder is whole, and still what the conversion wrote."""

from pathlib import Path

from cosy_jax.checkpoint.reader import (
    LLM_STAGES,
    STAGES,
    load_config,
    read_digest,
    read_manifest,
    select_llm,
    stage_path,
)
from cosy_jax.checkpoint.tensors import unreadable
from cosy_jax.checkpoint.validate import FileRecord
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.text.tokenizer import TOKENIZER_FILES, TextTokenizer

TOKENIZER = "tokenizer"
_SOURCE = "CosyVoice-BlankEN"  # the tokenizer's folder in a release, which it is copied from


def open_folder(folder: Path) -> ModelConfig:
    """The configuration of a folder whose files have the sizes that it records; CosyError where that is not so.

    What costs time is done later: a stage's values are checked as they are read, digests by `verify_digests`.
    """
    config, manifest = load_config(folder), read_manifest(folder)
    for name, record in manifest.files.items():
        path = Path(folder) / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue  # said where it is needed
        except OSError as error:
            raise unreadable(path, error) from error
        if size != record.bytes:
            raise CosyError(
                f"{path} has {size} bytes, config.json records {record.bytes}: it is truncated or was changed, copy or "
                "convert it again."
            )
    return config


def load_tokenizer(folder: Path, config: ModelConfig) -> TextTokenizer:
    """The tokenizer that the folder's language model was trained with; CosyError where it is damaged or another's."""
    folder = Path(folder)
    tokenizer = TextTokenizer.load(folder / TOKENIZER)
    for name, record in _tokenizer_records(folder).items():
        _check_digest(folder / TOKENIZER / name, record)
    if tokenizer.largest_id >= config.llm.text_vocab_size:
        raise CosyError(
            f"{folder / TOKENIZER} has ids up to {tokenizer.largest_id}, the language model knows "
            f"{config.llm.text_vocab_size}: it is another model's, convert the model again."
        )
    return tokenizer


def _tokenizer_records(folder: Path) -> dict[str, FileRecord]:
    """What is recorded of the tokenizer's files by their names; in folders that record none of their own, of the
    released files that they are copies of."""
    manifest = read_manifest(folder)
    records = {}
    for name in TOKENIZER_FILES:
        record = manifest.files.get(f"{TOKENIZER}/{name}") or manifest.sources.get(f"{_SOURCE}/{name}")
        if record is not None:
            records[name] = record
    return records


def check_complete(folder: Path) -> None:
    """CosyError, which names what is missing, unless the folder holds all that speaking takes."""
    folder = Path(folder)
    needed = [stage_path(folder, stage) for stage in STAGES if stage not in LLM_STAGES]
    needed += [folder / TOKENIZER / name for name in TOKENIZER_FILES]
    missing = [path.relative_to(folder).as_posix() for path in needed if not path.is_file()]
    if missing:
        raise CosyError(f"{folder} lacks {', '.join(missing)}: copy what is missing, or convert the model again.")
    select_llm(folder)


def verify_digests(folder: Path) -> list[str]:
    """The files whose content is what config.json records, by name; every byte is read. CosyError for the first that
    differs or is missing, and where nothing is recorded."""
    folder = Path(folder)
    records = dict(read_manifest(folder).files)
    records |= {f"{TOKENIZER}/{name}": record for name, record in _tokenizer_records(folder).items()}
    if not records:
        raise CosyError(f"{folder} records no digests: convert the model again.")
    for name, record in records.items():
        _check_digest(folder / name, record)
    return sorted(records)


def _check_digest(path: Path, record: FileRecord) -> None:
    if read_digest(path) != record.sha256:
        raise CosyError(f"{path} is not the file that was converted: copy or convert it again.")
