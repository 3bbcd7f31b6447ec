"""A converted folder written back in the released layout: the way for weights that were drawn or trained here to the
PyTorch reference.

The prompt encoders are left out, since the release has them as ONNX graphs, not as weights.
"""

import json
import shutil
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cosy_jax.checkpoint.reader import LLM_STAGES, STAGES, flat_shapes, load_config, shape_difference, stage_path
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.synthesis.voices import list_voices, weights_voices

from .mapping import export
from .output import written_whole
from .read_safetensors import open_safetensors
from .release_config import QWEN_FOLDER, YAML_FILE
from .rules import STAGE_RULES
from .voices import VoiceLeftWarning
from .write_release_config import qwen_config, release_yaml
from .write_safetensors import Entry, write

NETWORKS = (*LLM_STAGES, "flow", "vocoder")
ENCODERS = tuple(STAGE_RULES[stage].files[0] for stage in STAGES if stage not in NETWORKS)

Progress = Callable[[str, int, int], None]


def export_release(weights: Path, out_dir: Path, progress: Progress | None = None) -> list[str]:
    """Writes llm, flow and hift as float32 safetensors under the released names, with cosyvoice3.yaml and
    CosyVoice-BlankEN; returns the weight files' names. One tensor is in memory at a time.

    Saved voices have no place in a release: `VoiceLeftWarning` where `weights` brings some. Weight norm comes back as
    direction and length, which give the kernel up to rounding. `progress` is told (file, bytes done, bytes in all).
    CosyError where `weights` is no converted folder or `out_dir` is not free.
    """
    weights, out_dir = Path(weights), Path(out_dir).resolve()
    config = load_config(weights)
    if out_dir.exists() and not (out_dir.is_dir() and not any(out_dir.iterdir())):
        raise CosyError(f"{out_dir} is there already: name a new or empty folder.")
    if not (weights / "tokenizer").is_dir():
        raise CosyError(f"{weights} holds no tokenizer: convert the model again.")
    if voices := list_voices(weights_voices(weights)):
        names = ", ".join(info.name for info in voices)
        warnings.warn(f"A release has no saved voices: {names} are not written", VoiceLeftWarning, stacklevel=2)
    files = []
    with written_whole(out_dir) as folder:
        for stage in NETWORKS:
            source = stage_path(weights, stage)
            if stage in LLM_STAGES and not source.exists():
                continue
            name = STAGE_RULES[stage].files[1]
            write(folder / name, _entries(stage, source, config), progress and partial(progress, name))
            files.append(name)
        shutil.copytree(weights / "tokenizer", folder / QWEN_FOLDER)
        (folder / QWEN_FOLDER / "config.json").write_text(json.dumps(qwen_config(config.llm), indent=2) + "\n")
        (folder / YAML_FILE).write_text(release_yaml(config))
    return files


def _entries(stage: str, source: Path, config: ModelConfig) -> list[Entry]:
    """The released tensors of a stage, none of them read yet; CosyError where the file is not of this configuration."""
    tensors = open_safetensors(source)
    expected = flat_shapes(expected_shapes(stage, config))
    if lines := shape_difference({name: tensor.shape for name, tensor in tensors.items()}, expected):
        raise CosyError("\n".join([f"{source} does not fit config.json: convert the model again.", *lines]))
    released = export(STAGE_RULES[stage].rules, tensors, config)
    return [(name, tensor.shape, tensor.dtype, tensor.read) for name, tensor in released.items()]
