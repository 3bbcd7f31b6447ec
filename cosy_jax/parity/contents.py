"""What each kind of dump holds: data for `dumps`.

A tensor is described by a word for its values and one for each axis: "speech 1 L" are speech tokens (1, L).

values  `float`, finite; `bool`; `int`, from 0 on; ids of the `text` vocabulary, `speech` tokens, and `id`s of the
        language model's speech vocabulary, each below its size
axes    a number; `*` for any length; a small letter for one that is the same, and not 0, throughout the file; a
        capital for one of the model's (`sizes`); `rl` for `l` tokens in mel frames

A tensor that a file lacks is missed where it is asked for: which of them a check needs, it knows itself.
"""

from typing import Any

from cosy_jax.config import ModelConfig

Tensors = dict[str, str]

_PROMPT: Tensors = {"prompt_token": "speech 1 l", "prompt_feat": "float 1 rl M", "embedding": "float 1 E"}
_HIFT: Tensors = {
    "mel": "float 1 M t",
    "f0": "float 1 *",
    "f0_f64": "float 1 *",
    "source": "float 1 1 *",
    "source_f64": "float 1 1 *",
    "audio": "float 1 *",
}
# A row a parameter: p of the generator, q of the discriminators.
_TRAINING_VOCODER: Tensors = {
    "speech": "float b s",
    "mel": "float b t M",
    "f0": "float b t",
    "[dg]_noise": "float b s H",
    **{f"{turn}_{kind}s": f"float {rows} 16" for turn, rows in ("gp", "dq") for kind in ("gradient", "update")},
    **{f"{turn}_{kind}_norms": f"float {rows}" for turn, rows in ("gp", "dq") for kind in ("gradient", "update")},
    **dict.fromkeys(("[dg]_loss", "[dg]_tpr", "d_disc", "g_gen", "g_fm", "g_mel", "g_f0"), "float 1"),
}
_LLM: Tensors = {
    "prompt_text": "text *",
    "tts_text": "text *",
    "prompt_speech_token": "speech *",
    "lm_input": "float 1 * *",
    "forced_logits": "float 1 * V",
    "greedy_tokens": "id n",
    "greedy_logits": "float n V",
    "sampled_tokens": "id s",
    "fallback": "bool s",
    "noise_nucleus": "float s K",
    "noise_full": "float * V",
    "sampled_logits": "float s V",
}

# By file name, a glob; the names of tensors are globs too.
TENSORS: dict[str, Tensors] = {
    "features_*.safetensors": {
        "wav_16k": "float 1 *",
        "wav_24k": "float 1 *",
        "kaldi_fbank_80": "float t 80",
        "whisper_log_mel_128": "float 1 128 *",
        "mel_24k": "float 1 M u",
    },
    "speech_tokenizer.safetensors": {
        "whisper_log_mel_128": "float 1 S t",
        "tokens": "speech 1 *",
        "batch_mel": "float b S u",
        "batch_mel_len": "int b",
        "batch_tokens": "speech b *",
        "batch_tokens_len": "int b",
    },
    "campplus.safetensors": {"kaldi_fbank_80": "float 1 t F", "embedding": "float 1 E"},
    "llm.safetensors": _LLM,
    "llm_[0-9]*.safetensors": _LLM,
    "flow_*.safetensors": _PROMPT
    | {
        "token": "speech 1 n",
        "mel": "float 1 M *",
        "mu": "float M *",
        "cond": "float M *",
        "spks": "float M",
        "step_t": "float i",
        "step_x": "float j M t",
        "step_v_cond": "float j M t",
        "step_v_uncond": "float j M t",
    },
    "hift_offline.safetensors": _HIFT,
    "hift_chunk.safetensors": _HIFT,
    "training_vocoder.safetensors": _TRAINING_VOCODER,
    "streaming.safetensors": _PROMPT | {"speech_token": "speech 1 n", "chunk_[0-9]*": "float 1 *"},
    "noise.safetensors": {
        "flow_noise": "float 1 M *",
        "flow_noise_last_frames": "float 1 M *",
        "rand_ini": "float 1 H",
    },
    "hift_noise.safetensors": {"uniform_noise": "float 1 * H"},
    "noise_released_size.safetensors": {
        "flow_noise_first_frames": "float 1 80 *",
        "flow_noise_last_frames": "float 1 80 *",
        "rand_ini": "float 1 9",
        "uniform_noise_first": "float 1 * 9",
        "uniform_noise_at_100000": "float 1 * 9",
    },
    "training_llm_*.safetensors": {
        **{name: f"{kind} b *" for name, kind in (("instruct", "text"), ("text", "text"), ("speech", "speech"))},
        "*_len": "int b",
    },
    "training_flow_*.safetensors": {
        "token": "speech b l",
        "token_len": "int b",
        "mel": "float b rl M",
        "embedding": "float b E",
        "noise": "float b rl M",
        "prompt_frames": "int b",
        "time": "float b",
        "guidance": "float b",
        "kept/*": "bool b rl *",
    },
    "end_to_end.safetensors": _PROMPT
    | {"speech_token": "speech 1 n", "mel": "float 1 M *", "audio": "float 1 *", "f0": "float 1 *"},
}

# Types and lists of JSON; a single key `str` stands for any names.
CASES: dict[str, Any] = {
    "text_frontend.json": {"cases": [{"text": str, "split": [str], "joined": str}]},
    "tokenizer.json": {"cases": [{"text": str, "ids": [int]}], "endofprompt_id": int},
    "llm_bistream.json": {
        "cases": {
            str: {
                "prompt_text": [int],
                "prompt_speech_token": [int],
                "text_pieces": [[int]],
                "stop_at_call": int,
                "speech_tokens": [int],
            }
        }
    },
}


def sizes(config: ModelConfig) -> dict[str, int]:
    """The capitals."""
    return {
        "M": config.flow.mel_bands,
        "E": config.flow.speaker_dim,
        "S": config.speech_tokenizer.mel_bands,
        "F": config.speaker_encoder.feature_bands,
        "H": config.vocoder.harmonics,
        "V": config.llm.speech_vocab_size,
        "K": config.sampling.top_k,
        "r": config.flow.token_mel_ratio,
    }


def vocabularies(config: ModelConfig) -> dict[str, int]:
    """Below what the ids of each kind lie."""
    llm = config.llm
    return {"text": llm.text_vocab_size, "speech": llm.speech_token_size, "id": llm.speech_vocab_size, "int": 2**31}
