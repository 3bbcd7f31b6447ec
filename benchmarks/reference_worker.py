"""The PyTorch reference's side of `benchmarks.compare_torch`, which starts it with the interpreter of the reference's
environment. Imports torch, transformers, the checkout and, of ours, what the capture has for such environments.

    python reference_worker.py CHECKOUT --matcha CHECKOUT [--device cuda]

Says once what it runs on, then answers one JSON line with one: {"load": "llm", "dtype": "bfloat16", "sizes": {...},
"work": {...}} builds a stage with random weights, {"run": true} runs it and answers {"seconds": ...}, {"free": true}
forgets it. Every answer has the "cpu_seconds" of this process; one with "error" holds a traceback. The sizes are those
of `cosy_jax.config`, the work is {"text_ids": ..., "prompt_tokens": ..., "new_tokens": ...}.
"""

import argparse
import gc
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from transformers import Qwen2Config, Qwen2ForCausalLM

if __package__ in (None, ""):  # run as a script: its own folder stands first on the path, the repository nowhere
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from conversions.capture.packages import install_stand_ins

END_OF_PROMPT = 151646  # the reference refuses a text without it


def build_llm(job: dict, device: str) -> Callable[[], object]:
    """Decodes exactly `new_tokens` speech tokens with the reference's own loop and cache."""
    from cosyvoice.llm.llm import CosyVoice3LM, Qwen2Encoder
    from cosyvoice.utils.common import ras_sampling

    sizes, work = job["sizes"], job["work"]
    encoder = Qwen2Encoder.__new__(Qwen2Encoder)  # the constructor reads a pretrained folder
    torch.nn.Module.__init__(encoder)
    encoder.model = Qwen2ForCausalLM(_qwen_config(sizes))
    model = CosyVoice3LM(sizes["hidden_size"], sizes["hidden_size"], sizes["speech_token_size"], encoder, ras_sampling)
    model.stop_token_ids = []
    model = model.to(device, getattr(torch, job["dtype"])).eval()
    prompt_text = torch.arange(work["text_ids"] - 1, device=device)[None]
    text = torch.full((1, 1), END_OF_PROMPT, device=device)
    prompt_speech = _tokens(work["prompt_tokens"], device)

    def run() -> None:
        ratio = work["new_tokens"]  # of speech tokens to text tokens, of which there is one
        lengths = [torch.tensor([part.shape[1]], device=device) for part in (text, prompt_text, prompt_speech)]
        ids = list(
            model.inference(
                text,
                lengths[0],
                prompt_text,
                lengths[1],
                prompt_speech,
                lengths[2],
                torch.zeros(0, 192),
                max_token_text_ratio=ratio,
                min_token_text_ratio=ratio,
            )  # fmt: skip
        )
        if len(ids) != work["new_tokens"]:
            raise RuntimeError(f"the reference drew {len(ids)} tokens, not {work['new_tokens']}")

    return run


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


def build_flow(job: dict, device: str) -> Callable[[], object]:
    """Solves the mel of prompt and new tokens and keeps the new part."""
    from cosyvoice.flow.DiT.dit import DiT
    from cosyvoice.flow.flow import CausalMaskedDiffWithDiT
    from cosyvoice.flow.flow_matching import CausalConditionalCFM
    from cosyvoice.transformer.upsample_encoder import PreLookaheadLayer

    sizes, work, bands = job["sizes"], job["work"], job["sizes"]["mel_bands"]
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
    model = CausalMaskedDiffWithDiT(
        input_size=bands, output_size=bands, spk_embed_dim=sizes["speaker_dim"], vocab_size=sizes["token_vocab_size"],
        input_frame_rate=25, token_mel_ratio=ratio, pre_lookahead_len=ahead,
        pre_lookahead_layer=PreLookaheadLayer(bands, sizes["lookahead_channels"], ahead), decoder=decoder,
    )  # fmt: skip
    dtype = getattr(torch, job["dtype"])
    model = model.to(device, dtype).eval()
    tokens, prompt_tokens = _tokens(work["new_tokens"], device), _tokens(work["prompt_tokens"], device)
    mel = _mel(ratio * work["prompt_tokens"], bands, device).transpose(1, 2).to(dtype)
    speaker = torch.randn(1, sizes["speaker_dim"], device=device, dtype=dtype)
    lengths = [torch.tensor([part.shape[1]], device=device) for part in (tokens, prompt_tokens, mel)]
    return lambda: model.inference(
        tokens, lengths[0], prompt_tokens, lengths[1], mel, lengths[2], speaker, streaming=False, finalize=True
    )


def build_vocoder(job: dict, device: str) -> Callable[[], object]:
    """Turns the mel of the new tokens into audio."""
    from cosyvoice.hifigan.f0_predictor import CausalConvRNNF0Predictor
    from cosyvoice.hifigan.generator import CausalHiFTGenerator

    sizes, bands = job["sizes"], job["sizes"]["mel_bands"]
    model = CausalHiFTGenerator(
        in_channels=bands,
        base_channels=sizes["base_channels"],
        nb_harmonics=sizes["harmonics"] - 1,
        sampling_rate=sizes["sample_rate"],
        nsf_alpha=sizes["sine_amplitude"],
        nsf_sigma=sizes["noise_std"],
        nsf_voiced_threshold=sizes["voiced_threshold"],
        upsample_rates=sizes["upsample_rates"],
        upsample_kernel_sizes=sizes["upsample_kernels"],
        istft_params={"n_fft": sizes["n_fft"], "hop_len": sizes["hop"]},
        resblock_kernel_sizes=sizes["resblock_kernels"],
        resblock_dilation_sizes=sizes["resblock_dilations"],
        source_resblock_kernel_sizes=sizes["source_resblock_kernels"],
        source_resblock_dilation_sizes=sizes["source_resblock_dilations"],
        lrelu_slope=sizes["leaky_slope"],
        audio_limit=sizes["audio_limit"],
        conv_pre_look_right=sizes["lookahead"],
        f0_predictor=CausalConvRNNF0Predictor(1, bands, sizes["f0_channels"]),
    )
    model = model.to(device).eval()
    mel = _mel(2 * job["work"]["new_tokens"], bands, device)
    return lambda: model.inference(mel, finalize=True)


BUILDERS = {"llm": build_llm, "flow": build_flow, "vocoder": build_vocoder}


def _tokens(count: int, device: str) -> torch.Tensor:
    return torch.randint(0, 6561, (1, count), device=device, dtype=torch.int32)


def _mel(frames: int, bands: int, device: str) -> torch.Tensor:
    """Log amplitudes (1, bands, frames) of plausible level."""
    return torch.randn(1, bands, frames, device=device) * 2 - 6


class Worker:
    """Holds at most one stage."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.stage: Callable[[], object] | None = None

    def answer(self, job: dict) -> dict:
        """Do one job."""
        torch.manual_seed(0)
        if "run" in job:
            return {"seconds": self._run()}
        self.stage = None
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
        if "load" in job:
            self.stage = BUILDERS[job["load"]](job, self.device)
        return {}

    def _run(self) -> float:
        if self.stage is None:
            raise RuntimeError("no stage is loaded")
        start = time.perf_counter()
        with torch.inference_mode():
            self.stage()
        if self.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - start


def guarded(worker: Worker, line: str) -> dict:
    """The answer to a line, or the traceback of what went wrong."""
    try:
        return worker.answer(json.loads(line))
    except Exception:
        return {"error": traceback.format_exc()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("--matcha", required=True)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    args = parser.parse_args()
    answers, sys.stdout = sys.stdout, sys.stderr  # the reference prints
    logging.disable(logging.WARNING)
    sys.path[:0] = [args.reference, args.matcha]
    install_stand_ins()
    torch.set_num_threads(os.cpu_count() or 1)
    versions = f"torch {torch.__version__}, transformers {transformers.__version__}"
    answer = {"runs_on": f"{versions}, {torch.get_num_threads()} threads"}
    worker = Worker(args.device)
    while True:
        print(json.dumps({**answer, "cpu_seconds": time.process_time()}), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        answer = guarded(worker, line)


if __name__ == "__main__":
    main()
