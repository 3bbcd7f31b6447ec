"""A batch of training on the PyTorch reference's side: forward and backward, in its own environment."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch

from benchmarks.reference_models import flow_model, llm_model


def build_llm_training(job: dict, device: str) -> Callable[[], object]:
    """The gradient of rows of instruction, text and speech."""
    sizes, work = job["sizes"], job["work"]
    batch: dict[str, torch.Tensor] = {}
    for part, vocabulary in (("instruct", 1000), ("text", 1000), ("speech", sizes["speech_token_size"])):
        batch |= _ids(f"{part}_token", work["rows"], work[f"{part}_ids"], vocabulary, device)
    return _gradient(llm_model(sizes), batch, job["dtype"], device)


def build_flow_training(job: dict, device: str) -> Callable[[], object]:
    """The gradient of rows of speech ids with their mel."""
    sizes, work = job["sizes"], job["work"]
    rows, frames = work["rows"], sizes["token_mel_ratio"] * work["speech_ids"]
    batch = _ids("speech_token", rows, work["speech_ids"], sizes["token_vocab_size"], device) | {
        "speech_feat": torch.randn(rows, frames, sizes["mel_bands"], device=device),
        "speech_feat_len": torch.full((rows,), frames, dtype=torch.int32, device=device),
        "embedding": torch.randn(rows, sizes["speaker_dim"], device=device),
    }
    return _gradient(flow_model(sizes), batch, job["dtype"], device)


def _ids(name: str, rows: int, length: int, vocabulary: int, device: str) -> dict[str, torch.Tensor]:
    return {
        name: torch.randint(vocabulary, (rows, length), device=device),
        f"{name}_len": torch.full((rows,), length, dtype=torch.int32, device=device),
    }


def _gradient(model: torch.nn.Module, batch: dict, dtype: str, device: str) -> Callable[[], object]:
    """As the reference's recipe takes it: parameters in float32, and its autocast for another type."""
    model = model.to(device).train()

    def cast() -> AbstractContextManager:
        if dtype == "float32":
            return nullcontext()
        return torch.autocast(device, getattr(torch, dtype), cache_enabled=False)

    def run() -> None:
        model.zero_grad(set_to_none=True)
        with cast():
            loss = model(batch, torch.device(device))["loss"]
        loss.backward()

    return run
