"""The PyTorch reference's side of `benchmarks.compare_torch` and `benchmarks.training`, which start it with the
interpreter of the reference's environment. Imports torch, transformers, the checkout and, of ours, what the capture has
for such environments.

    python reference_worker.py CHECKOUT --matcha CHECKOUT [--device cuda]

Says once what it runs on, then answers one JSON line with one: {"load": "llm", "dtype": "bfloat16", "sizes": {...},
"work": {...}} builds a stage with random weights, {"run": true} runs it and answers {"seconds": ...}, {"free": true}
forgets it. Every answer has the "cpu_seconds" and "peak_bytes" of this process; one with "error" holds a traceback. The
sizes are those of `cosy_jax.config`, the work is that of `benchmarks.workload`, or of `benchmarks.training_worker` for
the stages "llm training" and "flow training".
"""

import argparse
import gc
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch
import transformers

if __package__ in (None, ""):  # run as a script: its own folder stands first on the path, the repository nowhere
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from benchmarks.reference_models import END_OF_PROMPT, flow_model, llm_model
from benchmarks.reference_training import build_flow_training, build_llm_training
from conversions.capture.packages import install_stand_ins


def build_llm(job: dict, device: str) -> Callable[[], object]:
    """Decodes exactly `new_tokens` speech tokens with the reference's own loop and cache."""
    work = job["work"]
    model = llm_model(job["sizes"]).to(device, getattr(torch, job["dtype"])).eval()
    prompt_text = torch.arange(work["text_ids"] - 1, device=device)[None]
    text = torch.full((1, 1), END_OF_PROMPT, device=device)
    prompt_speech = _tokens(work["prompt_tokens"], device)

    @torch.inference_mode()
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


def build_flow(job: dict, device: str) -> Callable[[], object]:
    """Solves the mel of prompt and new tokens and keeps the new part."""
    sizes, work, bands = job["sizes"], job["work"], job["sizes"]["mel_bands"]
    dtype = getattr(torch, job["dtype"])
    model = flow_model(sizes).to(device, dtype).eval()
    tokens, prompt_tokens = _tokens(work["new_tokens"], device), _tokens(work["prompt_tokens"], device)
    mel = _mel(sizes["token_mel_ratio"] * work["prompt_tokens"], bands, device).transpose(1, 2).to(dtype)
    speaker = torch.randn(1, sizes["speaker_dim"], device=device, dtype=dtype)
    lengths = [torch.tensor([part.shape[1]], device=device) for part in (tokens, prompt_tokens, mel)]
    inputs = tokens, lengths[0], prompt_tokens, lengths[1], mel, lengths[2], speaker
    return torch.inference_mode()(lambda: model.inference(*inputs, streaming=False, finalize=True))


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
    return torch.inference_mode()(lambda: model.inference(mel, finalize=True))


BUILDERS = {
    "llm": build_llm, "flow": build_flow, "vocoder": build_vocoder,
    "llm training": build_llm_training, "flow training": build_flow_training,
}  # fmt: skip


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


def _peak_bytes(device: str) -> int:
    """Of this process, or of what torch took on the GPU."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


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
        used = {"cpu_seconds": time.process_time(), "peak_bytes": _peak_bytes(args.device)}
        print(json.dumps({**answer, **used}), file=answers, flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        answer = guarded(worker, line)


if __name__ == "__main__":
    main()
