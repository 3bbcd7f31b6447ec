"""The flow: condition, every Euler step, mel, and the layers of the first step.

T frames of prompt and new speech, N new frames; channels are the mel's bands.
"""

import logging
from collections import defaultdict
from typing import NamedTuple

import torch

from .inputs import Inputs, Prompt
from .loading import load_flow
from .options import Options
from .precision import float64, half_precision, keep_rotary_exact
from .trace import Layers, as_dump, traced, unchanged
from .writing import Writer

_log = logging.getLogger("capture")
HOP = 25  # tokens; CosyVoice3Model.token_hop_len
LOOKAHEAD = 3  # tokens; pre_lookahead_len
_NOTE = (
    "x, mu, cond, mel are (channels 80, frames); step_* lists the 10 Euler steps' inputs x and the two velocities "
    "before guidance; mel has the prompt part cut off; *_f64 is the same network in float64. The initial noise x(0) is "
    "dumps/noise flow_noise."
)
_TRACE_NOTE = "Outputs of layers up to the first Euler step's velocity; both guidance rows, the conditional one first."


class Case(NamedTuple):
    """One run: how many of the new tokens go in, with which masks, and whether every step is stored."""

    name: str
    tokens: int | None
    streaming: bool
    finalize: bool
    steps: bool


def cases(prompt: Prompt) -> list[Case]:
    """The whole utterance in both ways, and the first piece of a stream."""
    return [
        Case("flow_offline", None, False, True, True),
        Case("flow_stream_first", first_piece(prompt), True, False, False),
        Case("flow_stream_all", None, True, True, False),
    ]


def first_piece(prompt: Prompt) -> int:
    """New tokens that a stream's first piece takes: it ends with a hop of prompt and new tokens, then looks ahead."""
    return HOP + -prompt.speech.shape[1] % HOP + LOOKAHEAD


def capture_flow(options: Options, inputs: Inputs, tokens: list[int], writer: Writer, device: str) -> dict:
    """Writes flow_offline, flow_stream_first, flow_stream_all and the trace; returns the offline run's mels."""
    flow = load_flow(options.model).to(device)
    keep_rotary_exact(flow.decoder.estimator.rotary_embed)
    ran = cases(inputs.prompt)
    with torch.inference_mode():
        with half_precision(device, options.dtype):
            runs = [run_flow(flow, inputs.prompt, tokens, case, device) for case in ran]
        truths: list[tuple[dict, dict]] = [({}, {})] * len(ran)
        if options.float64:
            with float64(flow):
                truths = [run_flow(flow, inputs.prompt, tokens, case, device) for case in ran]
    about = {"device": device, "dtype": options.dtype}
    for case, (run, _), (truth, _) in zip(ran, runs, truths, strict=True):
        how = {"streaming": str(case.streaming), "finalize": str(case.finalize)}
        writer.tensors(case.name, _dump(run, truth, inputs.prompt, tokens[: case.tokens]), note=_NOTE, **about, **how)
    if options.trace:
        layers = as_dump(runs[0][1], truths[0][1])
        writer.tensors("trace_flow", layers, note=_TRACE_NOTE, inputs="flow_offline.safetensors", **about)
    return {"mel": runs[0][0]["mel"], "mel_f64": truths[0][0].get("mel")}


def run_flow(
    flow: torch.nn.Module, prompt: Prompt, tokens: list[int], case: Case, device: str
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The tensors of one run, in the module's own dtype, and its trace."""
    dtype = flow.input_embedding.weight.dtype
    _log.info("flow: %s, weights in %s", case.name, dtype)
    steps: dict[str, list[torch.Tensor]] = defaultdict(list)
    once: dict[str, torch.Tensor] = {}

    def watch(module: torch.nn.Module, args: tuple, velocity: torch.Tensor) -> None:
        x, _, mu, t, speaker, cond = args
        for name, value in zip(("mu", "spks", "cond"), (mu, speaker, cond), strict=True):
            once.setdefault(name, _stored(value[0]))
        steps["step_t"].append(_stored(t[0]))
        if case.steps:
            for name, value in zip(("step_x", "step_v_cond", "step_v_uncond"), (x[0], *velocity), strict=True):
                steps[name].append(_stored(value))

    solve = flow.decoder.solve_euler

    def watched(x: torch.Tensor, **inputs: object) -> torch.Tensor:
        once["t_span"] = _stored(inputs["t_span"])
        return solve(x, **inputs)

    parts = [torch.tensor([tokens[: case.tokens]], dtype=torch.int32), prompt.speech, prompt.mel.to(dtype)]
    lengths = [torch.tensor([part.shape[1]]) for part in parts]
    pairs = [item.to(device) for pair in zip(parts, lengths, strict=True) for item in pair]
    hook = flow.decoder.estimator.register_forward_hook(watch)
    flow.decoder.solve_euler = watched
    how = {"streaming": case.streaming, "finalize": case.finalize}
    with traced(_layers(flow)) as layers:
        mel, _ = flow.inference(*pairs, prompt.embedding.to(device, dtype), **how)
    flow.decoder.solve_euler = solve
    hook.remove()
    stacked = {name: torch.stack(values) for name, values in steps.items()}
    return {"mel": _stored(mel), **once, **stacked}, layers


def _stored(value: torch.Tensor) -> torch.Tensor:
    """A copy on the CPU (the reference overwrites its buffers), half precision as float32."""
    return value.to("cpu", torch.promote_types(value.dtype, torch.float32), copy=True)


def _dump(run: dict, truth: dict, prompt: Prompt, tokens: list[int]) -> dict[str, torch.Tensor]:
    compared = ("mu", "mel", "step_x", "step_v_cond", "step_v_uncond")
    return {
        **run,
        **{f"{name}_f64": truth[name] for name in compared if name in truth},
        "token": torch.tensor([tokens], dtype=torch.int32),
        "prompt_token": prompt.speech.to(torch.int32),
        "prompt_feat": prompt.mel,
        "embedding": prompt.embedding,
    }


def _layers(flow: torch.nn.Module) -> Layers:
    network = flow.decoder.estimator
    layers: Layers = {
        "input_embedding": (flow.input_embedding, unchanged),
        "pre_lookahead_layer": (flow.pre_lookahead_layer, unchanged),
        "spk_embed_affine_layer": (flow.spk_embed_affine_layer, _one_row),
        "time_embed": (network.time_embed, _one_row),
        "input_embed": (network.input_embed, unchanged),
    }
    for number, block in enumerate(network.transformer_blocks):
        layers[f"transformer_blocks.{number}.attn"] = (block.attn, unchanged)
        layers[f"transformer_blocks.{number}.ff"] = (block.ff, unchanged)
        layers[f"transformer_blocks.{number}"] = (block, unchanged)
    return layers | {"norm_out": (network.norm_out, unchanged), "proj_out": (network.proj_out, unchanged)}


def _one_row(value: torch.Tensor) -> torch.Tensor:
    """Rows (B, C), all alike -> (1, 1, C)."""
    return value[:1, None]
