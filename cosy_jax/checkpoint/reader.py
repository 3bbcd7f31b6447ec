"""The reader of a converted folder, which `cosy_jax.conversions.convert` writes.

config.json                     format version, storage type, sizes (`ModelConfig`), digests of the sources and of
                                these files
llm.safetensors                 one file a stage; keys are the Linen parameter paths, joined by '/'
llm.rl.safetensors              the reinforcement-learned language model, where the release has it
flow.safetensors  vocoder.safetensors  speech_tokenizer.safetensors  speaker_encoder.safetensors
tokenizer/                      vocab.json, merges.txt, tokenizer_config.json
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import ml_dtypes
import numpy as np
from safetensors import SafetensorError, safe_open

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

Shape = tuple[int, ...]


class StoredTensor(NamedTuple):
    """Where a safetensors file keeps a tensor; `offset` is in bytes from the start of the file."""

    shape: Shape
    dtype: np.dtype
    offset: int


def read_header(path: Path) -> dict[str, StoredTensor]:
    """What a safetensors file holds, by key; CosyError for a missing, truncated or foreign file."""
    if not path.is_file():
        raise CosyError(f"{path} is missing: convert the model again.")
    try:
        with safe_open(path, framework="numpy"):  # checks the header and that the offsets fill the file
            pass
        with path.open("rb") as file:
            size = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(size))
    except (SafetensorError, OSError, ValueError) as error:
        raise CosyError(f"{path} is truncated or not a safetensors file: copy or convert it again.") from error
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


def load_config(folder: Path) -> ModelConfig:
    """The sizes and settings of a converted model; CosyError where the folder is none, or a newer one."""
    path, content = _read_manifest(folder)
    try:
        return ModelConfig.from_dict(content["model"])
    except (KeyError, TypeError) as error:
        raise CosyError(f"{path} lacks or adds a setting ({error}): convert the model again.") from error


def _read_manifest(folder: Path) -> tuple[Path, dict[str, Any]]:
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise CosyError(f"{folder} is not a converted model (no config.json): convert it first.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content["format_version"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CosyError(f"{path} is not the config.json of a converted model: convert the model again.") from error
    if version not in (1, FORMAT_VERSION):
        raise CosyError(f"{path} has format version {version}, this program reads {FORMAT_VERSION}: update or convert.")
    return path, content


def describe(folder: Path) -> dict[str, Any]:
    """What a converted folder holds, for people: format version, storage type, language models, and for each stage its
    file, parameter count and bytes. Reads headers only."""
    _, manifest = _read_manifest(folder)
    stages = {}
    for stage in STAGES:
        path = stage_path(folder, stage)
        if path.is_file():
            count = sum(math.prod(stored.shape) for stored in read_header(path).values())
            stages[stage] = {"file": path.name, "parameters": count, "bytes": path.stat().st_size}
    return {
        "format_version": manifest["format_version"],
        "dtype": manifest.get("dtype"),
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
    recorded = _read_manifest(folder)[1].get("files", {}).get(path.name)
    if recorded is not None:
        return str(recorded["sha256"])
    if not path.is_file():
        raise CosyError(f"{path} is missing: convert the model again.")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def load_params(folder: Path, stage: str, precision: Precision = FLOAT32, expected: Any = None) -> dict[str, Any]:
    """The parameters of a stage as a nested dict of device arrays.

    `storage_dtype` says what becomes bfloat16 under which `precision`; under `INT8` the language model's kernels are
    quantised. `expected` is a pytree of shapes, such as
    `stages.expected_shapes`; the file must hold those parameters in those shapes and no others, else CosyError. One
    tensor at a time is in memory beside those already loaded.
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
        values = _read_tensor(path, stored)
        if precision.int8_llm and stage in LLM_STAGES and leaf == "kernel":
            inner[leaf], inner["kernel_scale"] = map(jax.device_put, quantise(values))
        else:
            inner[leaf] = jax.device_put(values.astype(storage_dtype(stage, stored.shape, precision), copy=False))
    return params


def flat_shapes(tree: Any) -> dict[str, Shape]:
    """The shapes of a nested dict of parameters by '/'-joined path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(keys, simple=True, separator="/"): tuple(leaf.shape) for keys, leaf in leaves}


def _check_shapes(path: Path, header: Mapping[str, StoredTensor], expected: Any) -> None:
    lines = shape_difference({name: stored.shape for name, stored in header.items()}, flat_shapes(expected))
    if lines:
        raise CosyError("\n".join([f"{path} does not fit the model: convert it again.", *lines]))


def _read_tensor(path: Path, stored: StoredTensor) -> np.ndarray:
    count = math.prod(stored.shape)
    values = np.fromfile(path, dtype=stored.dtype, count=count, offset=stored.offset)
    if values.size != count:
        raise CosyError(f"{path} is truncated: copy or convert it again.")
    return values.reshape(stored.shape)
