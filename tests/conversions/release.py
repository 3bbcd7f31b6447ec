"""Builds a small model folder in the released layout out of random parameters, by the rules run backwards."""

import json
import math
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from conversions.mapping import export
from conversions.rules import STAGE_RULES
from cosy_jax.checkpoint import flat_shapes
from cosy_jax.config import (
    FlowConfig,
    LLMConfig,
    ModelConfig,
    SpeakerEncoderConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy_jax.stages import expected_shapes
from tests.conversions.onnx_writer import write_onnx
from tests.conversions.pt_writer import write_pt

CONFIG = ModelConfig(
    llm=LLMConfig(
        text_vocab_size=20,
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
)

_YAML = """
sample_rate: 24000
llm_input_size: 8
spk_embed_dim: 192
token_frame_rate: 25
token_mel_ratio: 2
chunk_size: 25
__set_seed: !apply:random.seed [1986]
llm: !new:cosyvoice.llm.llm.CosyVoice3LM
    llm_input_size: !ref <llm_input_size>
    speech_token_size: 9
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: 0.8
        top_k: 25
        win_size: 10
        tau_r: 0.1
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithDiT
    output_size: 6
    spk_embed_dim: !ref <spk_embed_dim>
    vocab_size: 9
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: 3
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        channels: 10
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                inference_cfg_rate: 0.7
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: 32
            depth: 2
            heads: 2
            dim_head: 8
            ff_mult: 2
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
hift: !new:cosyvoice.hifigan.generator.CausalHiFTGenerator
    in_channels: 6
    base_channels: 16
    nb_harmonics: 8
    sampling_rate: !ref <sample_rate>
    nsf_alpha: 0.1
    nsf_sigma: 0.003
    nsf_voiced_threshold: 10
    upsample_rates: [8, 5, 3]
    upsample_kernel_sizes: [16, 11, 7]
    istft_params:
        n_fft: 16
        hop_len: 4
    resblock_kernel_sizes: [3, 7, 11]
    resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    source_resblock_kernel_sizes: [7, 7, 11]
    source_resblock_dilation_sizes: [[1, 3, 5], [1, 3, 5], [1, 3, 5]]
    lrelu_slope: 0.1
    audio_limit: 0.99
    conv_pre_look_right: 4
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.CausalConvRNNF0Predictor
        cond_channels: 8
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: 1920
    num_mels: 80
    hop_size: 480
    fmin: 0
    fmax: null
"""
_QWEN = {
    "model_type": "qwen2",
    "hidden_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "intermediate_size": 12,
    "vocab_size": 20,
    "rope_theta": 1000000.0,
    "rms_norm_eps": 1e-06,
}


def random_params(stage: str, seed: int = 0) -> dict[str, np.ndarray]:
    """Parameters of a stage in the shapes of its modules, float32 by path."""
    rng = np.random.default_rng(seed)
    shapes = flat_shapes(expected_shapes(stage, CONFIG))
    return {name: rng.standard_normal(shape, dtype=np.float32) for name, shape in shapes.items()}


def released(stage: str, params: dict[str, np.ndarray], spelling: int = 0) -> dict[str, np.ndarray]:
    """The parameters under the names of the released files, with the entries that the conversion leaves out."""
    tensors = export(STAGE_RULES[stage].rules, params, spelling)
    if stage in ("llm", "llm.rl"):
        tensors["llm.model.lm_head.weight"] = tensors["llm.model.model.embed_tokens.weight"]
    if stage == "flow":
        half = CONFIG.flow.head_dim // 2
        frequencies = 10000.0 ** -(np.arange(half) / half)
        tensors["decoder.estimator.rotary_embed.inv_freq"] = frequencies.astype(np.float32)
    return tensors


def write_release(folder: Path, file_type: str = "pt") -> dict[str, dict[str, np.ndarray]]:
    """Writes the folder, `.pt` or `.safetensors`; returns the parameters that a conversion must give, by stage."""
    params = {stage: random_params(stage, seed) for seed, stage in enumerate(STAGE_RULES)}
    (folder / "CosyVoice-BlankEN").mkdir(parents=True)
    for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
        (folder / "CosyVoice-BlankEN" / name).write_text(f"{name} of the release")
    (folder / "CosyVoice-BlankEN" / "config.json").write_text(json.dumps(_QWEN))
    (folder / "cosyvoice3.yaml").write_text(_YAML)
    for stage, values in params.items():
        tensors = released(stage, values)
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
