"""What was learnt, as a converted folder that every command reads."""

import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict

from cosy_jax.checkpoint.reader import LLM_STAGES, STAGES, read_manifest, stage_path, storage_dtype
from cosy_jax.config import ModelConfig
from cosy_jax.conversions.output import TOKENIZER, check_output, write_manifest, written_whole
from cosy_jax.conversions.voices import keep_voices
from cosy_jax.conversions.write_safetensors import write
from cosy_jax.nn.precision import get_precision


def export_model(weights: Path, out: Path, stage: str, params: Any, config: ModelConfig) -> None:
    """The converted folder `weights` with other parameters of one stage, written to `out`, with the voices that
    either brings (`keep_voices`); CosyError where `out` holds anything else than an earlier export."""
    out = Path(out).resolve()
    check_output(out)
    dtype = str(read_manifest(weights).dtype)
    precision = get_precision(dtype)
    with written_whole(out) as folder:
        for other in STAGES:
            source = stage_path(weights, other)
            if other != stage and source.is_file():
                shutil.copyfile(source, stage_path(folder, other))
        shutil.copytree(weights / TOKENIZER, folder / TOKENIZER)
        values = {name: np.asarray(leaf) for name, leaf in flatten_dict(params, sep="/").items()}
        write(
            stage_path(folder, stage),
            [(name, value.shape, storage_dtype(stage, value.shape, precision), partial(np.asarray, value))
             for name, value in values.items()],
        )  # fmt: skip
        variants = tuple(each for each in LLM_STAGES if stage_path(folder, each).is_file())
        write_manifest(folder / "config.json", config, dtype, {}, variants)
        for source in (weights, out):
            keep_voices(source, folder)
