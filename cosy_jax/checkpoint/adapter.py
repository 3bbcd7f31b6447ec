"""Low-rank changes of a stage's matrices (LoRA) in the layout of PEFT.

adapter_config.json         rank, alpha, the layers' names
adapter_model.safetensors   base_model.model.<module>.lora_A.weight (r, I) and .lora_B.weight (O, r), where <module> is
                            that of the reference: model.layers.0.self_attn.q_proj of the language model's Qwen2,
                            transformer_blocks.0.attn.to_q of the flow's DiT
Reference: https://huggingface.co/docs/peft/developer_guides/checkpoint
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cosy_jax.checkpoint.reader import flat_shapes
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.conversions.mapping import Rule, alternatives
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.errors import CosyError
from cosy_jax.files import write_whole

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
_PREFIX = "base_model.model."
_WRAPPED = {"llm": "llm.model.", "flow": "decoder.estimator."}  # what PEFT is given of each stage
_KEY = re.compile(r"(.+)\.lora_([AB])(?:\.default)?\.weight")
_UNKNOWN = ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save", "layer_replication")

Pairs = dict[str, tuple[np.ndarray, np.ndarray]]  # by the kernel's path: A (r, I) and B (O, r)


@dataclass(frozen=True)
class Adapter:
    """What is added to the kernels (O, I) of a stage: scale B A."""

    stage: str
    scale: float
    pairs: Pairs

    def change(self, name: str) -> np.ndarray | None:
        """What is added to the parameter of this path, float32; None where nothing is."""
        if name not in self.pairs:
            return None
        first, second = self.pairs[name]
        return np.float32(self.scale) * (second @ first)


def read_adapter(folder: str | Path, config: ModelConfig) -> Adapter:
    """An adapter's folder for a model of these sizes; CosyError where it is none, damaged, or does not fit."""
    folder = Path(folder)
    settings = _read_config(folder / CONFIG_FILE)
    try:
        tensors = load_file(folder / WEIGHTS_FILE)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        raise CosyError(f"Cannot read {folder / WEIGHTS_FILE} ({str(error).splitlines()[0][:100]}).") from error
    halves: dict[str, dict[str, np.ndarray]] = {}
    for key, values in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None:
            raise CosyError(
                f"{folder} holds '{key[:80]}', which is no part of a LoRA: only lora_A and lora_B are read."
            )
        halves.setdefault(found[1].removeprefix(_PREFIX), {})[found[2]] = values.astype(np.float32)
    rank, alpha = settings["r"], settings["lora_alpha"]
    scale = alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank)
    for stage in _WRAPPED:
        modules = _modules(stage, config)
        if all(_find(name, modules) for name in halves):
            pairs = {_find(name, modules): _pair(folder, name, half, rank) for name, half in halves.items()}
            _check_shapes(folder, pairs, stage, config)
            return Adapter(stage, scale, pairs)
    raise CosyError(f"{folder} changes layers that neither language model nor flow of these weights have.")


def write_adapter(folder: Path, adapter: Adapter, rank: int, config: ModelConfig, base: str) -> None:
    """An adapter as PEFT reads it; `base` is the name or path of the weights it belongs to."""
    modules = {path: name for name, path in _modules(adapter.stage, config).items()}
    tensors, layers = {}, set()
    for path, (first, second) in adapter.pairs.items():
        tensors[f"{_PREFIX}{modules[path]}.lora_A.weight"] = np.ascontiguousarray(first)
        tensors[f"{_PREFIX}{modules[path]}.lora_B.weight"] = np.ascontiguousarray(second)
        layers.add(modules[path].rpartition(".")[2])
    content = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM" if adapter.stage == "llm" else None,
        "base_model_name_or_path": base,
        "r": rank,
        "lora_alpha": adapter.scale * rank,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": sorted(layers),
        "inference_mode": True,
    }
    write_whole(folder / WEIGHTS_FILE, save(tensors, {"format": "pt"}))
    write_whole(folder / CONFIG_FILE, (json.dumps(content, indent=2) + "\n").encode())


def _read_config(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CosyError(
            f"{path.parent} is no adapter (no {path.name}): name a folder that PEFT or a run wrote."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise CosyError(f"Cannot read {path}: copy the adapter again.") from error
    if not isinstance(content, dict) or content.get("peft_type") != "LORA":
        raise CosyError(f"{path} is not of a LoRA adapter: others cannot be applied.")
    rank, alpha = content.get("r"), content.get("lora_alpha")
    if type(rank) is not int or rank < 1 or not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise CosyError(f"{path} has no rank (r) and lora_alpha that are numbers: copy the adapter again.")
    for name in _UNKNOWN:
        if content.get(name):
            raise CosyError(f"{path} asks for {name}, which is not supported: train the adapter without it.")
    return content


def _modules(stage: str, config: ModelConfig) -> dict[str, str]:
    """The reference's name of each layer with a matrix, in what PEFT wraps, and our path of its kernel."""
    rules = [rule for rule in STAGE_RULES[stage].rules if isinstance(rule, Rule)]
    found = {}
    for path, shape in flat_shapes(expected_shapes(stage, config)).items():
        source = alternatives(rules, path)[0][1][0]
        if path.endswith("/kernel") and len(shape) == 2 and source.startswith(_WRAPPED[stage]):
            found[source.removeprefix(_WRAPPED[stage]).removesuffix(".weight")] = path
    return found


def _find(name: str, modules: Mapping[str, str]) -> str:
    """Our path of a module, which may have been wrapped deeper; "" where there is none."""
    return next((path for module, path in modules.items() if f".{name}".endswith(f".{module}")), "")


def _pair(folder: Path, name: str, half: Mapping[str, np.ndarray], rank: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = half.get("A"), half.get("B")
    if first is None or second is None or first.ndim != 2 or first.shape[0] != rank or second.shape[1:] != (rank,):
        raise CosyError(f"{folder} lacks a half of {name[:80]}, or has it in another rank: copy the adapter again.")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise CosyError(f"{folder} holds NaN or infinite values in {name[:80]}: train it again.")
    return first, second


def _check_shapes(folder: Path, pairs: Pairs, stage: str, config: ModelConfig) -> None:
    shapes = flat_shapes(expected_shapes(stage, config))
    for path, (first, second) in pairs.items():
        if (len(second), first.shape[1]) != shapes[path]:
            raise CosyError(f"{folder} was made for a model of other sizes ({path}): use the weights it belongs to.")
