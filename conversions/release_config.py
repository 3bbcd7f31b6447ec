"""The configuration of a released folder: cosyvoice3.yaml, CosyVoice-BlankEN/config.json, and the shapes of the ONNX
weights, of which neither says the sizes."""

import json
import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cosy_jax.config import (
    FlowConfig,
    LLMConfig,
    ModelConfig,
    PromptMelConfig,
    SamplingConfig,
    SpeakerEncoderConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy_jax.errors import CosyError

from .read_yaml import TAG, read_yaml
from .source import LazyTensor, brief, read_small

YAML_FILE = "cosyvoice3.yaml"
QWEN_FOLDER = "CosyVoice-BlankEN"
_CLASSES = {"llm": "CosyVoice3LM", "flow": "CausalMaskedDiffWithDiT", "hift": "CausalHiFTGenerator"}
_CONTROL_IDS = 200  # rows of the speech vocabulary after the codebook, fixed in the reference's code
_HEAD_DIM = 64  # of the speech tokenizer
_HEAD_STRIDE = 8  # the speaker encoder's head halves the bands three times

# Far beyond any model: what is larger is a slip or an attack, and would take all time or memory there is.
_LARGEST = 1 << 16
_LARGEST_VOCABULARY = 1 << 24
_LARGEST_FFT = 1 << 10  # its matrix has twice as many values, squared
_LONGEST = 8  # list
_MAX_JSON = 1 << 20  # bytes

Weights = Mapping[str, LazyTensor]


class _Settings:
    """Nested settings read by dotted name; CosyError names what is missing, of the wrong kind, or out of all bounds."""

    def __init__(self, path: Path, data: Mapping[str, Any]) -> None:
        self.path = path
        self.data = data

    def get(self, name: str, kind: type = object) -> Any:
        value: Any = self.data
        for part in name.split("."):
            if not isinstance(value, Mapping) or part not in value:
                raise CosyError(f"{self.path} has no '{name}': use the file of a CosyVoice 3 release.")
            value = value[part]
        if not isinstance(value, kind):
            raise self._error(name, value, f"not of type {kind.__name__}")
        return value

    def integer(self, name: str, least: int = 1, most: int = _LARGEST) -> int:
        value = self.get(name, int)
        if isinstance(value, bool) or not least <= value <= most:
            raise self._error(name, value, f"not a whole number from {least} to {most}")
        return int(value)

    def number(self, name: str) -> float:
        value = self.get(name)
        try:
            number = float(value)  # PyYAML takes 1e-6 for text: YAML 1.1 wants 1.0e-6
        except (TypeError, ValueError, OverflowError) as error:
            raise self._error(name, value, "not a number") from error
        if not math.isfinite(number):
            raise self._error(name, value, "not a number of finite size")
        return number

    def numbers(self, name: str) -> tuple[int, ...]:
        values = self.get(name, list)
        if not _are_sizes(values):
            raise self._error(name, values, "not a list of whole numbers")
        return tuple(values)

    def nested(self, name: str) -> tuple[tuple[int, ...], ...]:
        values = self.get(name, list)
        if len(values) > _LONGEST or not all(isinstance(item, list) and _are_sizes(item) for item in values):
            raise self._error(name, values, "not lists of whole numbers")
        return tuple(tuple(item) for item in values)

    def _error(self, name: str, value: Any, fault: str) -> CosyError:
        return CosyError(f"{self.path}: '{name}' is {brief(reprlib.repr(value))}, {fault}.")


def _are_sizes(values: list[Any]) -> bool:
    return 0 < len(values) <= _LONGEST and all(type(value) is int and 0 < value <= _LARGEST for value in values)


def read_release_config(folder: Path, speech_tokenizer: Weights, speaker_encoder: Weights) -> ModelConfig:
    """The configuration of the released folder.

    `speech_tokenizer` and `speaker_encoder` are the weights of the two ONNX files, as `read_onnx.weights_by_node`
    names them. CosyError for a folder of another model and for settings that are missing or contradict each other.
    """
    settings = _read_settings(folder)
    return ModelConfig(
        sample_rate=settings.integer("sample_rate"),
        token_rate=settings.integer("token_frame_rate"),
        llm=_llm(folder, settings),
        sampling=_sampling(settings),
        flow=_flow(settings),
        vocoder=_vocoder(settings),
        speech_tokenizer=_speech_tokenizer(speech_tokenizer, settings.integer("llm.speech_token_size")),
        speaker_encoder=_speaker_encoder(speaker_encoder),
        prompt_mel=_prompt_mel(settings),
    )


def _read_settings(folder: Path) -> _Settings:
    path = folder / YAML_FILE
    others = sorted(other.name for other in folder.glob("cosyvoice*.yaml"))
    if not path.is_file() and others:
        raise CosyError(f"{folder} holds {others[0]}, not {YAML_FILE}: only CosyVoice 3 models can be converted.")
    settings = _Settings(path, read_yaml(path))
    for name, wanted in _CLASSES.items():
        found = brief(settings.get(f"{name}.{TAG}"))
        if found.rpartition(".")[2] != wanted:
            raise CosyError(f"{path} builds '{name}' with {found}, not {wanted}: only CosyVoice 3 can be converted.")
    return settings


def _llm(folder: Path, settings: _Settings) -> LLMConfig:
    path = folder / QWEN_FOLDER / "config.json"
    content = read_small(path, _MAX_JSON)
    try:
        qwen = _Settings(path, json.loads(content))
    except (ValueError, RecursionError) as error:
        raise CosyError(f"{path} is not readable as JSON: download it again.") from error
    kind = brief(qwen.get("model_type"))
    if kind != "qwen2":
        raise CosyError(f"{path} describes a '{kind}' model, not qwen2: use a CosyVoice 3 folder.")
    hidden = qwen.integer("hidden_size")
    if hidden != settings.integer("llm.llm_input_size"):
        raise CosyError(f"{path} has hidden_size {hidden}, {settings.path} another: use the files of one release.")
    codes = settings.integer("llm.speech_token_size")
    return LLMConfig(
        text_vocab_size=qwen.integer("vocab_size", most=_LARGEST_VOCABULARY),
        hidden_size=hidden,
        num_layers=qwen.integer("num_hidden_layers"),
        num_heads=qwen.integer("num_attention_heads"),
        num_kv_heads=qwen.integer("num_key_value_heads"),
        intermediate_size=qwen.integer("intermediate_size"),
        rope_theta=qwen.number("rope_theta"),
        rms_norm_eps=qwen.number("rms_norm_eps"),
        speech_token_size=codes,
        speech_vocab_size=codes + _CONTROL_IDS,
    )


def _sampling(settings: _Settings) -> SamplingConfig:
    name = "llm.sampling"
    return SamplingConfig(
        top_p=settings.number(f"{name}.top_p"),
        top_k=settings.integer(f"{name}.top_k"),
        window=settings.integer(f"{name}.win_size", least=0),
        repetition_rate=settings.number(f"{name}.tau_r"),
    )


def _flow(settings: _Settings) -> FlowConfig:
    dit = "flow.decoder.estimator"
    return FlowConfig(
        token_vocab_size=settings.integer("flow.vocab_size"),
        mel_bands=settings.integer("flow.output_size"),
        speaker_dim=settings.integer("flow.spk_embed_dim"),
        token_mel_ratio=settings.integer("flow.token_mel_ratio"),
        lookahead=settings.integer("flow.pre_lookahead_len", least=0),
        lookahead_channels=settings.integer("flow.pre_lookahead_layer.channels"),
        dim=settings.integer(f"{dit}.dim"),
        depth=settings.integer(f"{dit}.depth"),
        heads=settings.integer(f"{dit}.heads"),
        head_dim=settings.integer(f"{dit}.dim_head"),
        ff_mult=settings.integer(f"{dit}.ff_mult"),
        chunk_frames=settings.integer(f"{dit}.static_chunk_size"),
        guidance_rate=settings.number("flow.decoder.cfm_params.content.inference_cfg_rate"),
    )


def _vocoder(settings: _Settings) -> VocoderConfig:
    return VocoderConfig(
        mel_bands=settings.integer("hift.in_channels"),
        base_channels=settings.integer("hift.base_channels"),
        harmonics=settings.integer("hift.nb_harmonics", least=0) + 1,
        sample_rate=settings.integer("hift.sampling_rate"),
        sine_amplitude=settings.number("hift.nsf_alpha"),
        noise_std=settings.number("hift.nsf_sigma"),
        voiced_threshold=settings.number("hift.nsf_voiced_threshold"),
        upsample_rates=settings.numbers("hift.upsample_rates"),
        upsample_kernels=settings.numbers("hift.upsample_kernel_sizes"),
        n_fft=settings.integer("hift.istft_params.n_fft", most=_LARGEST_FFT),
        hop=settings.integer("hift.istft_params.hop_len"),
        resblock_kernels=settings.numbers("hift.resblock_kernel_sizes"),
        resblock_dilations=settings.nested("hift.resblock_dilation_sizes"),
        source_resblock_kernels=settings.numbers("hift.source_resblock_kernel_sizes"),
        source_resblock_dilations=settings.nested("hift.source_resblock_dilation_sizes"),
        leaky_slope=settings.number("hift.lrelu_slope"),
        audio_limit=settings.number("hift.audio_limit"),
        lookahead=settings.integer("hift.conv_pre_look_right", least=0),
        f0_channels=settings.integer("hift.f0_predictor.cond_channels"),
    )


def _prompt_mel(settings: _Settings) -> PromptMelConfig:
    name = "feat_extractor"
    fmax = settings.get(f"{name}.fmax")
    return PromptMelConfig(
        n_fft=settings.integer(f"{name}.n_fft"),
        hop=settings.integer(f"{name}.hop_size"),
        mel_bands=settings.integer(f"{name}.num_mels"),
        fmin=settings.number(f"{name}.fmin"),
        fmax=None if fmax is None else settings.number(f"{name}.fmax"),
    )


def _speech_tokenizer(weights: Weights, codebook: int) -> SpeechTokenizerConfig:
    what = "the speech tokenizer (speech_tokenizer_v3.onnx)"
    dim, mel_bands, _ = _shape(weights, "/conv1/Conv:weight", 3, what)
    memory_kernel = _shape(weights, "/blocks.0/attn/fsmn_block/Conv:weight", 3, what)[2]
    projection = "/quantizer/project_in/MatMul:weight"
    _, code_dim = _shape(weights, projection if projection in weights else "/project_in/MatMul:weight", 2, what)
    levels = round(codebook ** (1 / code_dim)) if code_dim else 0
    if levels**code_dim != codebook:
        raise CosyError(f"{YAML_FILE} has {codebook} speech tokens, which {what} with {code_dim} digits cannot make.")
    return SpeechTokenizerConfig(
        mel_bands=mel_bands,
        dim=dim,
        heads=dim // _HEAD_DIM,
        num_blocks=_count(weights, "/blocks.{}/attn/query/MatMul:weight", 0),
        memory_kernel=memory_kernel,
        levels=levels,
        code_dim=code_dim,
    )


def _speaker_encoder(weights: Weights) -> SpeakerEncoderConfig:
    what = "the speaker encoder (campplus.onnx)"
    first = "/xvector/block1/tdnnd1"
    head_channels = _shape(weights, "/head/conv1/Conv:weight", 4, what)[0]
    init_channels, flat_channels, _ = _shape(weights, "/xvector/tdnn/linear/Conv:weight", 3, what)
    growth = _shape(weights, f"{first}/cam_layer/linear_local/Conv:weight", 3, what)[0]
    blocks = range(1, len(SpeakerEncoderConfig.block_dilations) + 1)
    local = "/xvector/block{}/tdnnd{}/cam_layer/linear_local/Conv:weight"
    return SpeakerEncoderConfig(
        feature_bands=flat_channels * _HEAD_STRIDE // max(head_channels, 1),
        head_channels=head_channels,
        init_channels=init_channels,
        growth=growth,
        bottleneck_channels=_shape(weights, f"{first}/linear1/Conv:weight", 3, what)[0],
        block_layers=tuple(_count(weights, local.replace("{}", str(b), 1), 1) for b in blocks),
        block_kernels=tuple(_shape(weights, local.format(b, 1), 3, what)[2] for b in blocks),
        embedding_dim=_shape(weights, "/xvector/dense/linear/Conv:weight", 3, what)[0],
    )


def _shape(weights: Weights, name: str, ndim: int, what: str) -> tuple[int, ...]:
    if name not in weights or len(weights[name].shape) != ndim:
        raise CosyError(f"The graph of {what} has no weight '{name}' with {ndim} axes: use the file of the release.")
    return weights[name].shape


def _count(weights: Weights, template: str, start: int) -> int:
    """How many names of the template exist, counting up from `start`."""
    end = start
    while template.format(end) in weights:
        end += 1
    return end - start
