"""The settings files of the released layout, written from a configuration: what `release_config` reads."""

from typing import Any

from cosy_jax.config import LLMConfig, ModelConfig

_YAML = """\
sample_rate: {c.sample_rate}
llm_input_size: {c.llm.hidden_size}
llm_output_size: {c.llm.hidden_size}
spk_embed_dim: {c.flow.speaker_dim}
qwen_pretrain_path: ''
token_frame_rate: {c.token_rate}
token_mel_ratio: {c.flow.token_mel_ratio}
chunk_size: {chunk_tokens}
num_decoding_left_chunks: -1
llm: !new:cosyvoice.llm.llm.CosyVoice3LM
    llm_input_size: !ref <llm_input_size>
    llm_output_size: !ref <llm_output_size>
    speech_token_size: {c.llm.speech_token_size}
    length_normalized_loss: True
    lsm_weight: 0
    mix_ratio: [5, 15]
    llm: !new:cosyvoice.llm.llm.Qwen2Encoder
        pretrain_path: !ref <qwen_pretrain_path>
    sampling: !name:cosyvoice.utils.common.ras_sampling
        top_p: {c.sampling.top_p}
        top_k: {c.sampling.top_k}
        win_size: {c.sampling.window}
        tau_r: {c.sampling.repetition_rate}
flow: !new:cosyvoice.flow.flow.CausalMaskedDiffWithDiT
    input_size: {c.flow.mel_bands}
    output_size: {c.flow.mel_bands}
    spk_embed_dim: !ref <spk_embed_dim>
    output_type: 'mel'
    vocab_size: {c.flow.token_vocab_size}
    input_frame_rate: !ref <token_frame_rate>
    only_mask_loss: True
    token_mel_ratio: !ref <token_mel_ratio>
    pre_lookahead_len: {c.flow.lookahead}
    pre_lookahead_layer: !new:cosyvoice.transformer.upsample_encoder.PreLookaheadLayer
        in_channels: {c.flow.mel_bands}
        channels: {c.flow.lookahead_channels}
        pre_lookahead_len: {c.flow.lookahead}
    decoder: !new:cosyvoice.flow.flow_matching.CausalConditionalCFM
        in_channels: {flow_channels}
        n_spks: 1
        spk_emb_dim: {c.flow.mel_bands}
        cfm_params: !new:omegaconf.DictConfig
            content:
                sigma_min: 1e-06
                solver: 'euler'
                t_scheduler: 'cosine'
                training_cfg_rate: 0.2
                inference_cfg_rate: {c.flow.guidance_rate}
                reg_loss_type: 'l1'
        estimator: !new:cosyvoice.flow.DiT.dit.DiT
            dim: {c.flow.dim}
            depth: {c.flow.depth}
            heads: {c.flow.heads}
            dim_head: {c.flow.head_dim}
            ff_mult: {c.flow.ff_mult}
            mel_dim: {c.flow.mel_bands}
            mu_dim: {c.flow.mel_bands}
            spk_dim: {c.flow.mel_bands}
            out_channels: {c.flow.mel_bands}
            static_chunk_size: !ref <chunk_size> * <token_mel_ratio>
            num_decoding_left_chunks: !ref <num_decoding_left_chunks>
hift: !new:cosyvoice.hifigan.generator.CausalHiFTGenerator
    in_channels: {c.vocoder.mel_bands}
    base_channels: {c.vocoder.base_channels}
    nb_harmonics: {overtones}
    sampling_rate: !ref <sample_rate>
    nsf_alpha: {c.vocoder.sine_amplitude}
    nsf_sigma: {c.vocoder.noise_std}
    nsf_voiced_threshold: {c.vocoder.voiced_threshold}
    upsample_rates: {rates}
    upsample_kernel_sizes: {kernels}
    istft_params:
        n_fft: {c.vocoder.n_fft}
        hop_len: {c.vocoder.hop}
    resblock_kernel_sizes: {resblock_kernels}
    resblock_dilation_sizes: {resblock_dilations}
    source_resblock_kernel_sizes: {source_kernels}
    source_resblock_dilation_sizes: {source_dilations}
    lrelu_slope: {c.vocoder.leaky_slope}
    audio_limit: {c.vocoder.audio_limit}
    conv_pre_look_right: {c.vocoder.lookahead}
    f0_predictor: !new:cosyvoice.hifigan.f0_predictor.CausalConvRNNF0Predictor
        num_class: 1
        in_channels: {c.vocoder.mel_bands}
        cond_channels: {c.vocoder.f0_channels}
feat_extractor: !name:matcha.utils.audio.mel_spectrogram
    n_fft: {c.prompt_mel.n_fft}
    num_mels: {c.prompt_mel.mel_bands}
    sampling_rate: !ref <sample_rate>
    hop_size: {c.prompt_mel.hop}
    win_size: {c.prompt_mel.n_fft}
    fmin: {c.prompt_mel.fmin}
    fmax: {fmax}
    center: False
get_tokenizer: !name:cosyvoice.tokenizer.tokenizer.get_qwen_tokenizer
    token_path: !ref <qwen_pretrain_path>
    skip_special_tokens: True
    version: cosyvoice3
allowed_special: 'all'
"""


def release_yaml(config: ModelConfig) -> str:
    """cosyvoice3.yaml of a model: what the reference builds the three networks and the prompt's front end from."""
    vocoder = config.vocoder
    return _YAML.format(
        c=config,
        chunk_tokens=config.flow.chunk_frames // config.flow.token_mel_ratio,
        flow_channels=3 * config.flow.mel_bands,
        overtones=vocoder.harmonics - 1,
        rates=list(vocoder.upsample_rates),
        kernels=list(vocoder.upsample_kernels),
        resblock_kernels=list(vocoder.resblock_kernels),
        resblock_dilations=[list(dilations) for dilations in vocoder.resblock_dilations],
        source_kernels=list(vocoder.source_resblock_kernels),
        source_dilations=[list(dilations) for dilations in vocoder.source_resblock_dilations],
        fmax="null" if config.prompt_mel.fmax is None else config.prompt_mel.fmax,
    )


def qwen_config(config: LLMConfig) -> dict[str, Any]:
    """CosyVoice-BlankEN/config.json: what transformers builds the backbone from."""
    return {
        "architectures": ["Qwen2ForCausalLM"],
        "model_type": "qwen2",
        "hidden_size": config.hidden_size,
        "num_hidden_layers": config.num_layers,
        "num_attention_heads": config.num_heads,
        "num_key_value_heads": config.num_kv_heads,
        "intermediate_size": config.intermediate_size,
        "vocab_size": config.text_vocab_size,
        "rope_theta": config.rope_theta,
        "rms_norm_eps": config.rms_norm_eps,
        "hidden_act": "silu",
        "max_position_embeddings": 32768,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
    }
