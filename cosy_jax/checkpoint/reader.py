"""The reader of a converted folder, which `cosy_jax.conversions.convert` writes.

config.json                     format version, storage type, sizes (`ModelConfig`), digests of the sources and of
                                these files
llm.safetensors                 one file a stage; keys are the Linen parameter paths, joined by '/'
llm.rl.safetensors              the reinforcement-learned language model, where the release has it
flow.safetensors  vocoder.safetensors  speech_tokenizer.safetensors  speaker_encoder.safetensors
tokenizer/                      vocab.json, merges.txt, tokenizer_config.json
voices/                         saved voices that the model brings, if any (`synthesis.voices`)
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

from cosy_jax.checkpoint.tensors import Shape, StoredTensor, read_tensor, unreadable
from cosy_jax.checkpoint.validate import FileRecord, check_model, check_records
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.int8 import quantise
from cosy_jax.nn.precision import FLOAT32, Precision

FORMAT_VERSION = 2
LLM_STAGES = ("llm", "llm.rl")
ENCODER_STAGES = ("speech_tokenizer", "speaker_encoder")
STAGES = (*LLM_STAGES, "flow", "vocoder", *ENCODER_STAGES)
_EARLIER_NAMES = {"vocoder": "hift"}  # of the files of format version 1
_HALF_STAGES = frozenset({*LLM_STAGES, "flow"})
_LISTED = 10
_LARGEST_CONFIG = 2**20  # bytes of config.json, which has some thousands

DTYPES = {
    "F64": np.dtype(np.float64),
    "F32": np.dtype(np.float32),
    "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F8_E4M3": np.dtype(ml_dtypes.float8_e4m3fn),
    "F8_E5M2": np.dtype(ml_dtypes.float8_e5m2),
    "I64": np.dtype(np.int64),
    "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16),
    "I8": np.dtype(np.int8),
    "U8": np.dtype(np.uint8),
    "BOOL": np.dtype(np.bool_),
}


def read_header(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, by key; CosyError for a missing, unreadable, truncated or foreign file."""
    if not path.is_file():
        raise CosyError(f"{path} is missing: convert the model again.")
    try:
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            with safe_open(path, framework="numpy"):  # checks the header and that the offsets fill the file
                pass
            header = json.loads(file.read(size))
    except (SafetensorError, ValueError, RecursionError) as error:
        raise CosyError(f"{path} is truncated or not a safetensors file: copy or convert it again.") from error
    except OSError as error:
        raise unreadable(path, error) from error
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - DTYPES.keys())
    if unknown:
        raise CosyError(f"{path} holds {', '.join(unknown)} values, which have no use here: store them as float32.")
    return {
        name: StoredTensor(tuple(entry["shape"]), DTYPES[entry["dtype"]], 8 + size + entry["data_offsets"][0])
        for name, entry in header.items()
    }


def storage_dtype(stage: str, shape: Shape, precision: Precision) -> np.dtype:
    """The type in which a parameter is kept under a precision policy: float32 or bfloat16.

    bfloat16 is for the matrices of the language model and the flow alone: norms and biases cost nothing in float32,
    the speech tokenizer's last step is a rounding decision, and the vocoder overflows in half precision.
    """
    half = precision.compute == ml_dtypes.bfloat16 and stage in _HALF_STAGES and len(shape) >= 2
    return np.dtype(ml_dtypes.bfloat16 if half else np.float32)


def shape_difference(found: Mapping[str, Shape], expected: Mapping[str, Shape]) -> list[str]:
    """Both sides of the difference between two sets of tensors, one line a kind; empty where there is none."""
    missing = [f"{name} {expected[name]}" for name in sorted(expected.keys() - found.keys())]
    unknown = [f"{name} {found[name]}" for name in sorted(found.keys() - expected.keys())]
    shared = sorted(name for name in expected.keys() & found.keys() if found[name] != expected[name])
    shaped = [f"{name} is {found[name]}, should be {expected[name]}" for name in shared]
    lines = (
        list_some("expected, not in the file", missing),
        list_some("in the file, not expected", unknown),
        list_some("of another shape", shaped),
    )
    return [line for line in lines if line]


def list_some(title: str, items: list[str]) -> str:
    """A line that names the first ten items and counts the rest; empty without items."""
    if not items:
        return ""
    rest = f"; and {len(items) - _LISTED} more" if len(items) > _LISTED else ""
    return f"  {title}: {'; '.join(items[:_LISTED])}{rest}"


@dataclass(frozen=True)
class Manifest:
    """A folder's config.json: `model` as it stands there, unchecked; what is recorded of the folder's `files`, and of
    the `sources` that they were converted from, by name."""

    path: Path
    format_version: int
    dtype: Any
    model: Any
    files: Mapping[str, FileRecord]
    sources: Mapping[str, FileRecord]


def load_config(folder: Path) -> ModelConfig:
    """The sizes and settings of a converted model; CosyError where the folder is none, or a newer one, and for
    settings that no model can have."""
    manifest = read_manifest(folder)
    return check_model(manifest.model, manifest.path)


def read_manifest(folder: Path) -> Manifest:
    """The config.json of a converted folder; CosyError where there is none that this program can read."""
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CosyError(f"{folder} is not a converted model (no config.json): convert it first.")
    foreign = CosyError(f"{path} is not the config.json of a converted model: convert the model again.")
    try:
        if path.stat().st_size > _LARGEST_CONFIG:
            raise foreign
        content = json.loads(path.read_text(encoding="utf-8"))
        version, model = content["format_version"], content["model"]
    except OSError as error:
        raise unreadable(path, error) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise foreign from error
    if type(version) is not int:
        raise foreign
    if version not in (1, FORMAT_VERSION):
        raise CosyError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}: update or convert.")
    files, sources = (check_records(content.get(key, {}), path) for key in ("files", "sources"))
    return Manifest(path, version, content.get("dtype"), model, files, sources)


def describe(folder: Path) -> dict[str, Any]:
    """What a converted folder holds, for people: format version, storage type, language models, and for each stage its
    file, parameter count and bytes. Reads headers only."""
    manifest = read_manifest(folder)
    stages = {}
    for stage in STAGES:
        path = stage_path(folder, stage)
        if path.is_file():
            count = sum(math.prod(stored.shape) for stored in read_header(path).values())
            stages[stage] = {"file": path.name, "parameters": count, "bytes": path.stat().st_size}
    return {
        "format_version": manifest.format_version,
        "dtype": manifest.dtype,
        "llm_variants": [stage for stage in LLM_STAGES if stage in stages],
        "stages": stages,
        "parameters": sum(entry["parameters"] for entry in stages.values()),
        "bytes": sum(entry["bytes"] for entry in stages.values()),
    }


def stage_path(folder: Path, stage: str) -> Path:
    """The weight file of a stage; under its earlier name where only that is there."""
    path = Path(folder) / f"{stage}.safetensors"
    earlier = path.with_stem(_EARLIER_NAMES.get(stage, stage))
    return earlier if earlier.exists() and not path.exists() else path


def encoders_digest(folder: Path) -> str:
    """What a voice made with this folder's prompt encoders is told by: one SHA-256 of both files' own."""
    digests = [file_digest(folder, stage) for stage in ENCODER_STAGES]
    return hashlib.sha256("".join(digests).encode()).hexdigest()


def file_digest(folder: Path, stage: str) -> str:
    """SHA-256 of a stage's file, as config.json records it; folders of before that was done are read for it."""
    path = stage_path(folder, stage)
    recorded = read_manifest(folder).files.get(path.name)
    return recorded.sha256 if recorded is not None else read_digest(path)


def read_digest(path: Path) -> str:
    """SHA-256 of a file's content; CosyError where it cannot be read."""
    if not path.is_file():
        raise CosyError(f"{path} is missing: convert the model again.")
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from error


def select_llm(folder: Path, choice: str = "auto") -> str:
    """The language model stage to load: "rl", "base", or "auto", which takes "rl" where the folder has it."""
    stages = {"base": "llm", "rl": "llm.rl"}
    if choice not in ("auto", *stages):
        raise CosyError(f"Unknown language model '{choice}': choose auto, rl or base.")
    present = [name for name in ("rl", "base") if stage_path(folder, stages[name]).is_file()]
    if not present:
        raise CosyError(f"{folder} holds no language model: convert the model again.")
    if choice != "auto" and choice not in present:
        raise CosyError(f"{folder} has no '{choice}' language model: choose {present[0]} or auto.")
    return stages[present[0] if choice == "auto" else choice]


def load_params(
    folder: Path,
    stage: str,
    precision: Precision = FLOAT32,
    expected: Any = None,
    change: Callable[[str], np.ndarray | None] = lambda name: None,
) -> dict[str, Any]:
    """The parameters of a stage as a nested dict of device arrays.

    `storage_dtype` says what becomes bfloat16 under which `precision`; under `INT8` the language model's kernels are
    quantised. `expected` is a pytree of shapes, such as
    `stages.expected_shapes`; the file must hold those parameters in those shapes and no others, else CosyError, as for
    a value that is not finite. `change` gives what is added to a parameter, by its path, before it is rounded. A
    part of a tensor at a time is in memory beside what is loaded, of one that is quantised or changed all of it.
    """
    path = stage_path(folder, stage)
    header = read_header(path)
    if expected is not None:
        _check_shapes(path, header, expected)
    params: dict[str, Any] = {}
    for name, stored in header.items():
        *parents, leaf = name.split("/")
        inner = params
        for parent in parents:
            inner = inner.setdefault(parent, {})
        added, quantised = change(name), precision.int8_llm and stage in LLM_STAGES and leaf == "kernel"
        dtype = storage_dtype(stage, stored.shape, precision)
        exact = quantised or added is not None
        values = read_tensor(path, name, stored, np.dtype(np.float32) if exact else dtype)
        if added is not None:
            values = values + added
        if quantised:
            inner[leaf], inner["kernel_scale"] = map(jax.device_put, quantise(values))
        else:
            inner[leaf] = jax.device_put(values.astype(dtype, copy=False))
    return params


def flat_shapes(tree: Any) -> dict[str, Shape]:
    """The shapes of a nested dict of parameters by '/'-joined path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(keys, simple=True, separator="/"): tuple(leaf.shape) for keys, leaf in leaves}


def _check_shapes(path: Path, header: Mapping[str, StoredTensor], expected: Any) -> None:
    lines = shape_difference({name: stored.shape for name, stored in header.items()}, flat_shapes(expected))
    if lines:
        raise CosyError("\n".join([f"{path} does not fit the model: convert it again.", *lines]))
