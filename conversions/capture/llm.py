"""The language model: its prompt, logits, greedy and sampled ids, and one traced pass.

L text tokens, S prompt speech tokens, N ids, T prompt and greedy ids, V speech vocabulary, D model.
"""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import torch

from .bistream import NOTE as BISTREAM_NOTE
from .bistream import bistream_cases
from .end_of_prompt import looked_up_as, marked
from .inputs import Inputs
from .loading import load_llm
from .options import Options
from .precision import float64, half_precision
from .report import Segment
from .sampling import Draw, Recorder, Rule, greedy
from .trace import Layers, as_dump, kept, traced, unchanged
from .writing import Writer

_log = logging.getLogger("capture")
_GREEDY_STEPS = 24
_NUCLEUS = 25
_NOTE = (
    "greedy: argmax over the speech tokens only. sampled: one row a step, token = argmax(p / q) with q ~ Exp(1); "
    "noise_nucleus is q over the nucleus candidates in descending order (25 slots, 1 where unused), noise_full has one "
    "row of q over all ids for each step where the repetition fallback fired, in step order (fallback says at which "
    "steps). min_len {}: id 6561 masked while step < {}. sampled_tokens ends with the stop token if one was drawn. "
    "forced_logits: one pass over lm_input and the greedy ids."
)
_TRACE_NOTE = "Outputs of layers in one pass over lm_input and the greedy ids."


class Decoded(NamedTuple):
    """One run of the reference's loop: lm_input (1, 2 + L + S, D), logits (N, V) before any mask."""

    lm_input: torch.Tensor
    logits: torch.Tensor


class Forced(NamedTuple):
    """One pass over prompt and greedy ids: logits (1, T, V), and what layers gave."""

    logits: torch.Tensor
    layers: dict[str, torch.Tensor]


def capture_llm(options: Options, inputs: Inputs, writer: Writer, device: str) -> list[Segment]:
    """Writes llm.safetensors, llm_2 ... for further segments, and the trace of the first; returns what was drawn."""
    model = load_llm(options.model, options.llm_stem).to(device)
    with torch.inference_mode(), looked_up_as(model, inputs.end_of_prompt):
        with half_precision(device, options.dtype):
            runs = [_run_segment(model, inputs, text, options, device) for text in inputs.segments]
            cases = bistream_cases(model, inputs, device)
        truths = []
        if options.float64:
            with float64(model):
                truths = [_force(model, dump["greedy_tokens"], dump["lm_input"], device) for dump, _, _ in runs]
    writer.json("llm_bistream", {"cases": cases, "dtype": options.dtype, "note": BISTREAM_NOTE})
    for number, (dump, forced, segment) in enumerate(runs, 1):
        truth = truths[number - 1] if truths else None
        name = "llm" if number == 1 else f"llm_{number}"
        _write(writer, name, dump, truth, segment, device, options.dtype)
        if number == 1 and options.trace:
            layers = as_dump(forced.layers, truth.layers if truth else {})
            about = {"device": device, "dtype": options.dtype, "inputs": f"{name}.safetensors"}
            writer.tensors(f"trace_{name}", layers, note=_TRACE_NOTE, **about)
    return [segment for _, _, segment in runs]


def _run_segment(
    model: torch.nn.Module, inputs: Inputs, text: torch.Tensor, options: Options, device: str
) -> tuple[dict[str, torch.Tensor], Forced, Segment]:
    """The dump without its float64 part, the traced pass, and the report's figures."""
    bounds = options.bounds(text.shape[1])
    _log.info("llm: %s text tokens, %s to %s speech ids", text.shape[1], *bounds)
    likeliest = _decode(model, inputs, text, greedy, (0, _GREEDY_STEPS), device)
    greedy_ids = likeliest.logits[:, : model.speech_token_size].argmax(dim=1)
    forced = _force(model, greedy_ids, likeliest.lm_input, device)

    recorder = Recorder(model.sampling)
    torch.manual_seed(options.seed)
    sampled = _decode(model, inputs, text, recorder, bounds, device)
    dump = {
        "prompt_text": inputs.prompt.text[0].long(),
        "tts_text": text[0].long(),
        "prompt_speech_token": inputs.prompt.speech[0].long(),
        "lm_input": likeliest.lm_input,
        "forced_logits": forced.logits,
        "greedy_tokens": greedy_ids,
        "greedy_logits": likeliest.logits,
        "sampled_logits": sampled.logits,
        **_noise(recorder.steps, sampled.logits.shape[1]),
    }
    fallbacks = [step for step, draw in enumerate(recorder.steps) if draw.full is not None]
    return dump, forced, Segment(text.shape[1], [draw.token for draw in recorder.steps], bounds, fallbacks)


def _decode(
    model: torch.nn.Module, inputs: Inputs, text: torch.Tensor, rule: Rule, bounds: tuple[int, int], device: str
) -> Decoded:
    """The reference's own `inference` with `rule` in the place of its sampling, ids bounded by `bounds`."""
    lm_inputs, logits = [], []
    wrapper, sampling = model.inference_wrapper, model.sampling

    def watched(lm_input: torch.Tensor, *args: object) -> Iterator[int]:
        lm_inputs.append(lm_input.float().cpu())
        return wrapper(lm_input, *args)

    def keep_logits(module: torch.nn.Module, args: tuple, output: torch.Tensor) -> None:
        logits.append(output.float().cpu())

    prompt, count = inputs.prompt, text.shape[1]
    parts = [part.to(device) for part in (text, marked(prompt.text, inputs.end_of_prompt), prompt.speech)]
    lengths = [torch.tensor([part.shape[1]], device=device) for part in parts]
    # The reference takes ratios and rounds down: half an id more keeps float32 from losing one.
    low, high = ((bound + 0.5) / count for bound in bounds)
    hook = model.llm_decoder.register_forward_hook(keep_logits)
    model.inference_wrapper, model.sampling = watched, rule
    pairs = [item for pair in zip(parts, lengths, strict=True) for item in pair]
    for _ in model.inference(*pairs, torch.zeros(0, 192), max_token_text_ratio=high, min_token_text_ratio=low):
        pass
    model.inference_wrapper, model.sampling = wrapper, sampling
    hook.remove()
    return Decoded(lm_inputs[0], torch.cat(logits))


def _force(model: torch.nn.Module, ids: torch.Tensor, lm_input: torch.Tensor, device: str) -> Forced:
    """One pass over a prompt and ids (N,), in the model's own dtype."""
    table = model.speech_embedding.weight
    _log.info("llm: one pass over prompt and ids, weights in %s", table.dtype)
    sequence = torch.cat([lm_input.to(device, table.dtype), table[ids.to(device)][None]], dim=1)
    with traced(_layers(model)) as layers:
        hidden, _ = model.llm(sequence, torch.tensor([sequence.shape[1]], device=device))
        logits = model.llm_decoder(hidden)
    return Forced(logits.to(table.dtype).cpu(), kept("embed", sequence) | layers)


def _layers(model: torch.nn.Module) -> Layers:
    backbone = model.llm.model.model
    layers: Layers = {}
    for number, layer in enumerate(backbone.layers):
        layers[f"layers.{number}.self_attn"] = (layer.self_attn, unchanged)
        layers[f"layers.{number}.mlp"] = (layer.mlp, unchanged)
        layers[f"layers.{number}"] = (layer, unchanged)
    return layers | {"norm": (backbone.norm, unchanged), "llm_decoder": (model.llm_decoder, unchanged)}


def _noise(steps: list[Draw], vocabulary: int) -> dict[str, torch.Tensor]:
    nucleus = torch.ones(len(steps), _NUCLEUS)
    for row, draw in zip(nucleus, steps, strict=True):
        row[: len(draw.nucleus)] = draw.nucleus
    full = [draw.full for draw in steps if draw.full is not None]
    return {
        "sampled_tokens": torch.tensor([draw.token for draw in steps]),
        "noise_nucleus": nucleus,
        "noise_full": torch.stack(full) if full else torch.zeros(0, vocabulary),
        "fallback": torch.tensor([draw.full is not None for draw in steps]),
    }


def _write(
    writer: Writer, name: str, dump: dict, truth: Forced | None, segment: Segment, device: str, dtype: str
) -> None:
    if truth:
        prompt = dump["lm_input"].shape[1]
        # The logits before each greedy id.
        rows = truth.logits[0, prompt - 1 : prompt - 1 + len(dump["greedy_tokens"])]
        dump = dump | {"forced_logits_f64": truth.logits, "greedy_logits_f64": rows}
    low, high = map(str, segment.bounds)
    writer.tensors(name, dump, note=_NOTE.format(low, low), device=device, dtype=dtype, min_len=low, max_len=high)
