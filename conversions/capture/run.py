"""All stages, one after the other; one of them in memory at a time."""

import logging
from pathlib import Path

import safetensors
import torch

from .errors import CaptureError
from .flow import HOP, capture_flow, first_piece
from .folders import Folders, commit_of
from .inputs import Inputs
from .llm import capture_llm
from .loading import prepare
from .noise import capture_noise
from .options import Options
from .prompt import capture_prompt
from .report import SPEECH_IDS, Segment, token_lines
from .stage import run_stage
from .streaming import cap_silence, capture_stream
from .training.batches import capture_training
from .vocoder import capture_vocoder
from .writing import Writer

_log = logging.getLogger("capture")


def capture(options: Options, folders: Folders) -> None:
    """Writes the dumps of every stage chosen; CaptureError where they cannot be computed as asked."""
    if options.device == "cuda" and not torch.cuda.is_available():
        raise CaptureError("This torch sees no GPU: leave --device cuda out, or install torch with CUDA.")
    prepare(folders)
    options.out.mkdir(parents=True, exist_ok=True)
    writer, device, stages = Writer(options.out, commit_of(folders.reference)), options.device, options.stages
    if options.training:
        capture_training(options, writer)
        return
    inputs = run_stage("prompt", lambda _: capture_prompt(options, writer), "cpu")
    if not inputs.segments:
        raise CaptureError("--text holds nothing to speak.")
    if "llm" in stages:
        segments = run_stage("llm", lambda device: capture_llm(options, inputs, writer, device), device)
        _report(inputs, segments, writer)
    tokens, mels = _flow_tokens(options.out / "llm.safetensors", inputs), None
    if "flow" in stages:
        mels = run_stage("flow", lambda device: capture_flow(options, inputs, tokens, writer, device), device)
    if "hift" in stages:
        if not mels:
            _log.warning("hift: end_to_end is left out, it takes the flow stage too")
        run_stage("hift", lambda device: capture_vocoder(options, inputs, tokens, mels, writer, device), device)
    if "stream" in stages:
        run_stage("stream", lambda device: capture_stream(options, inputs, tokens, writer, device), device)
    if "noise" in stages:
        run_stage("noise", lambda _: capture_noise(options, tokens, writer), "cpu")


def _report(inputs: Inputs, segments: list[Segment], writer: Writer) -> None:
    prompt = inputs.prompt
    lines = token_lines(prompt.text.shape[1], prompt.speech.shape[1], prompt.mel.shape[1], segments)
    writer.text("tokens.txt", "\n".join(lines) + "\n")
    for line in lines:
        _log.info("%s", line)


def _flow_tokens(dump: Path, inputs: Inputs) -> list[int]:
    """The ids drawn for the first segment, silences cut; seeded ones where there is no dump or too few for a stream."""
    least = first_piece(inputs.prompt)
    drawn = []
    if dump.is_file():
        with safetensors.safe_open(dump, "pt") as file:
            drawn = file.get_tensor("sampled_tokens").tolist()
    ids = cap_silence([token for token in drawn if token < SPEECH_IDS])
    if len(ids) >= least:
        return ids
    _log.warning("%s ids for the flow, %s wanted: flow and vocoder get seeded ids", len(ids), least)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(SPEECH_IDS, (least + HOP,), generator=generator).tolist()
