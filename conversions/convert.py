"""Converts a released folder into the folder that `cosy_jax.checkpoint.reader` reads.

Of `llm.pt` and `llm.safetensors` (and so for each stage) the `.pt` file is taken where both exist: it is the release,
the other a copy by the community.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosy_jax.checkpoint.reader import LLM_STAGES, flat_shapes, stage_path, storage_dtype
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.precision import Precision, get_precision

from .mapping import Parameter, plan
from .output import TOKENIZER, check_output, file_record, write_manifest, written_whole
from .read_onnx import open_onnx, weights_by_node
from .read_pt import open_pt
from .read_safetensors import open_safetensors
from .release_config import QWEN_FOLDER, YAML_FILE, read_release_config
from .release_files import SETTINGS_FILES, stage_file
from .rules import STAGE_RULES
from .source import LazyTensor, brief
from .tokenizer_files import TOKENIZER_FILES, check_tokenizer
from .transforms import Shape
from .verify import Verification, require_onnxruntime, verify_encoders
from .voices import keep_voices
from .write_safetensors import write

_FEW_LAYERS = 64

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Report:
    """What `convert` wrote: bytes by file name, digests of the sources, the configuration, and what `verify` found."""

    folder: Path
    config: ModelConfig
    llm_variants: tuple[str, ...]
    files: dict[str, int]
    sources: dict[str, dict[str, Any]]
    verification: Verification | None = None

    def summary(self) -> str:
        """The summary that the command line prints."""
        lines = [f"{self.folder}: language models {', '.join(self.llm_variants)}"]
        lines += [f"  {name:<28}{size / 1e6:>10.1f} MB" for name, size in self.files.items()]
        if self.verification is not None:
            found = self.verification
            lines.append(f"  speech tokens equal to the ONNX file's: {found.token_agreement:.1%} of {found.tokens}")
            lines.append(f"  speaker embedding: cosine {found.embedding_cosine:.6f}, error {found.embedding_error:.1e}")
        return "\n".join(lines)


@dataclass(frozen=True)
class _Stage:
    name: str
    source: Path
    parameters: list[Parameter]


def convert(
    model_dir: Path, out_dir: Path, dtype: str = "float32", verify: bool = False, progress: Progress | None = None
) -> Report:
    """Writes the converted model to `out_dir`, whole or not at all.

    `dtype` is the storage policy of `checkpoint.storage_dtype`. `progress` is told (file, bytes done, bytes in all)
    after every tensor. An earlier conversion in `out_dir` is replaced, its voices are kept (`keep_voices`); any other
    content there, and every fault of the input, is a CosyError. `verify` runs the ONNX files
    (onnxruntime) beside our encoders.
    """
    model_dir, out_dir = Path(model_dir), Path(out_dir).resolve()
    precision = get_precision(dtype)
    if verify:
        require_onnxruntime()
    if not model_dir.is_dir():
        raise CosyError(f"{model_dir} is not a folder: give the folder that holds {YAML_FILE} and the weights.")
    check_output(out_dir)
    config, stages = _plan_stages(model_dir)
    check_tokenizer(model_dir / QWEN_FOLDER, config.llm.text_vocab_size)
    with written_whole(out_dir) as folder:
        files = {}
        for stage in stages:
            path = stage_path(folder, stage.name)
            files[path.name] = _write_stage(path, stage, precision, progress)
        (folder / TOKENIZER).mkdir()
        for name in TOKENIZER_FILES:
            shutil.copyfile(model_dir / QWEN_FOLDER / name, folder / TOKENIZER / name)
        sources = _digests(model_dir, [stage.source for stage in stages])
        variants = tuple(stage.name for stage in stages if stage.name in LLM_STAGES)
        write_manifest(folder / "config.json", config, precision.name, sources, variants)
        keep_voices(out_dir, folder)
        verification = verify_encoders(model_dir, folder) if verify else None
    return Report(out_dir, config, variants, files, sources, verification)


def _plan_stages(model_dir: Path) -> tuple[ModelConfig, list[_Stage]]:
    """Reads all headers and checks them against the configuration, so that a fault shows before anything is written."""
    sources = {name: _find_source(model_dir, name) for name in STAGE_RULES}
    if not any(sources[name] for name in LLM_STAGES):
        raise CosyError(f"{model_dir} has neither llm.pt nor llm.rl.pt: download the whole model folder.")
    opened = {name: _open_source(path) for name, path in sources.items() if path is not None}
    config = read_release_config(model_dir, opened["speech_tokenizer"], opened["speaker_encoder"])
    stages = []
    for name, tensors in opened.items():
        path, rules = sources[name], STAGE_RULES[name]
        if path is not None:
            parameters = plan(path, tensors, rules.rules, _shapes(name, path, len(tensors), config), rules.prefix)
            stages.append(_Stage(name, path, parameters))
    return config, stages


def _shapes(stage: str, path: Path, tensors: int, config: ModelConfig) -> dict[str, Shape]:
    """The shapes that the stage must have; CosyError for sizes of which no network can be built."""
    layers = {**dict.fromkeys(LLM_STAGES, config.llm.num_layers), "flow": config.flow.depth}.get(stage, 0)
    if layers > max(_FEW_LAYERS, tensors):  # to trace one takes a quarter of a second
        raise CosyError(f"{path} holds {tensors} tensors, too few for {layers} layers: use the files of one release.")
    try:
        return flat_shapes(expected_shapes(stage, config))
    # Sizes that contradict each other fail wherever in the network they meet.
    except Exception as error:
        reason = brief(error)
        raise CosyError(f"{path}: the settings beside it fit no network ({reason}): download them again.") from error


def _find_source(model_dir: Path, stage: str) -> Path | None:
    """The first of the stage's files that exists; None for a language model that is absent."""
    name = stage_file(stage, lambda name: (model_dir / name).is_file())
    if name is None and stage not in LLM_STAGES:
        missing = model_dir / STAGE_RULES[stage].files[0]
        raise CosyError(f"{missing} is missing: download the whole model folder.")
    return model_dir / name if name else None


def _open_source(path: Path) -> Mapping[str, LazyTensor]:
    if path.suffix == ".onnx":
        return weights_by_node(open_onnx(path))
    return open_pt(path) if path.suffix == ".pt" else open_safetensors(path)


def _write_stage(path: Path, stage: _Stage, precision: Precision, progress: Progress | None) -> int:
    entries = [
        (parameter.name, parameter.shape, storage_dtype(stage.name, parameter.shape, precision), parameter.read)
        for parameter in stage.parameters
    ]
    if progress is None:
        return write(path, entries)
    return write(path, entries, lambda done, total: progress(path.name, done, total))


def _digests(model_dir: Path, weights: list[Path]) -> dict[str, dict[str, Any]]:
    read = (*weights, *(model_dir / name for name in SETTINGS_FILES))
    return {path.relative_to(model_dir).as_posix(): file_record(path) for path in read}
