"""The PyTorch reference's networks of given sizes, with random weights, in the reference's environment."""

from types import SimpleNamespace

import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

END_OF_PROMPT = 151646  # the reference refuses a text without it


def llm_model(sizes: dict) -> torch.nn.Module:
    """Its language model, of the sizes of an `LLMConfig`."""
    from cosyvoice.llm.llm import CosyVoice3LM, Qwen2Encoder
    from cosyvoice.utils.common import ras_sampling

    encoder = Qwen2Encoder.__new__(Qwen2Encoder)  # the constructor reads a pretrained folder
    torch.nn.Module.__init__(encoder)
    encoder.model = Qwen2ForCausalLM(_qwen_config(sizes))
    model = CosyVoice3LM(sizes["hidden_size"], sizes["hidden_size"], sizes["speech_token_size"], encoder, ras_sampling)
    model.stop_token_ids = []
    return model


def _qwen_config(sizes: dict) -> Qwen2Config:
    return Qwen2Config(
        vocab_size=max(sizes["text_vocab_size"], END_OF_PROMPT + 1),
        hidden_size=sizes["hidden_size"],
        intermediate_size=sizes["intermediate_size"],
        num_hidden_layers=sizes["num_layers"],
        num_attention_heads=sizes["num_heads"],
        num_key_value_heads=sizes["num_kv_heads"],
        rope_theta=sizes["rope_theta"],
        rms_norm_eps=sizes["rms_norm_eps"],
        tie_word_embeddings=True,
    )


def flow_model(sizes: dict) -> torch.nn.Module:
    """Its flow, of the sizes of a `FlowConfig`."""
    from cosyvoice.flow.DiT.dit import DiT
    from cosyvoice.flow.flow import CausalMaskedDiffWithDiT
    from cosyvoice.flow.flow_matching import CausalConditionalCFM
    from cosyvoice.transformer.upsample_encoder import PreLookaheadLayer

    bands = sizes["mel_bands"]
    estimator = DiT(
        dim=sizes["dim"], depth=sizes["depth"], heads=sizes["heads"], dim_head=sizes["head_dim"],
        ff_mult=sizes["ff_mult"], mel_dim=bands, mu_dim=bands, spk_dim=bands, out_channels=bands,
        static_chunk_size=sizes["chunk_frames"], num_decoding_left_chunks=-1,
    )  # fmt: skip
    settings = SimpleNamespace(
        sigma_min=1e-6, solver="euler", t_scheduler="cosine", training_cfg_rate=0.2,
        inference_cfg_rate=sizes["guidance_rate"], reg_loss_type="l1",
    )  # fmt: skip
    decoder = CausalConditionalCFM(3 * bands, settings, n_spks=1, spk_emb_dim=bands, estimator=estimator)
    ahead, ratio = sizes["lookahead"], sizes["token_mel_ratio"]
    return CausalMaskedDiffWithDiT(
        input_size=bands, output_size=bands, spk_embed_dim=sizes["speaker_dim"], vocab_size=sizes["token_vocab_size"],
        input_frame_rate=25, token_mel_ratio=ratio, pre_lookahead_len=ahead,
        pre_lookahead_layer=PreLookaheadLayer(bands, sizes["lookahead_channels"], ahead), decoder=decoder,
    )  # fmt: skip
