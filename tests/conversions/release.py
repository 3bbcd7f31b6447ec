"""Builds a small model folder in the released layout out of random parameters, by the rules run backwards."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from cosy_jax.checkpoint.reader import flat_shapes
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import (
    FlowConfig,
    LLMConfig,
    ModelConfig,
    PromptMelConfig,
    SpeakerEncoderConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy_jax.conversions.mapping import export
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.conversions.source import LazyTensor
from cosy_jax.conversions.tokenizer_files import write_byte_tokenizer
from cosy_jax.conversions.write_release_config import qwen_config, release_yaml
from cosy_jax.text.special_tokens import EXTRA_TOKENS
from tests.conversions.onnx_writer import write_onnx
from tests.conversions.pt_writer import write_pt

TOKENIZER_SIZE = 256 + 1 + len(EXTRA_TOKENS)  # the bytes, <|endoftext|>, and the tokens of CosyVoice 3

CONFIG = ModelConfig(
    llm=LLMConfig(
        text_vocab_size=TOKENIZER_SIZE + 3,
        hidden_size=8,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        intermediate_size=12,
        speech_token_size=9,
        speech_vocab_size=209,
    ),
    flow=FlowConfig(token_vocab_size=9, mel_bands=6, lookahead_channels=10, dim=32, depth=2, heads=2, head_dim=8),
    vocoder=VocoderConfig(mel_bands=6, base_channels=16, f0_channels=8),
    speech_tokenizer=SpeechTokenizerConfig(mel_bands=12, dim=64, heads=1, num_blocks=2, code_dim=2),
    speaker_encoder=SpeakerEncoderConfig(
        feature_bands=16, head_channels=4, init_channels=8, growth=4, bottleneck_channels=6, block_layers=(2, 1, 1)
    ),
    prompt_mel=PromptMelConfig(mel_bands=6),
)


def random_params(stage: str, seed: int = 0, config: ModelConfig = CONFIG) -> dict[str, np.ndarray]:
    """Parameters of a stage in the shapes of its modules, float32 by path."""
    rng = np.random.default_rng(seed)
    shapes = flat_shapes(expected_shapes(stage, config))
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def lazy(tensors: dict[str, np.ndarray]) -> dict[str, LazyTensor]:
    """As a reader hands them out."""
    return {name: LazyTensor(array.shape, array.dtype, array.copy) for name, array in tensors.items()}


def released(
    stage: str, params: dict[str, np.ndarray], spelling: int = 0, config: ModelConfig = CONFIG
) -> dict[str, np.ndarray]:
    """The parameters under the names of the released files, with the entries that the conversion leaves out."""
    tensors = export(STAGE_RULES[stage].rules, lazy(params), config, spelling)
    return {name: tensor.read() for name, tensor in tensors.items()}


def write_release(
    folder: Path, file_type: str = "pt", config: ModelConfig = CONFIG, spelling: int = 0
) -> dict[str, dict[str, np.ndarray]]:
    """Writes the folder, `.pt` or `.safetensors`; returns the parameters that a conversion must give, by stage."""
    params = {stage: random_params(stage, seed, config) for seed, stage in enumerate(STAGE_RULES)}
    write_byte_tokenizer(folder / "CosyVoice-BlankEN")
    (folder / "CosyVoice-BlankEN" / "config.json").write_text(json.dumps(qwen_config(config.llm)))
    (folder / "cosyvoice3.yaml").write_text(release_yaml(config))
    for stage, values in params.items():
        tensors = released(stage, values, spelling, config)
        path = folder / STAGE_RULES[stage].files[0]
        if path.suffix == ".onnx":
            write_onnx(path, tensors)
        elif file_type == "pt":
            prefix = STAGE_RULES[stage].prefix
            write_pt(path, {prefix + name: tensor for name, tensor in tensors.items()}, {"epoch": 3, "step": 100})
        else:
            tensors = {name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}
            save_file(tensors, path.with_suffix(".safetensors"))
    return params


def largest_error(found: dict[str, np.ndarray], expected: dict[str, np.ndarray]) -> float:
    """Largest difference over all parameters; infinite where names or shapes differ."""
    if found.keys() != expected.keys() or any(found[name].shape != expected[name].shape for name in expected):
        return math.inf
    return max(float(np.abs(found[name].astype(np.float64) - expected[name]).max()) for name in expected)
