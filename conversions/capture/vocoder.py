"""The vocoder: F0, source and audio of a mel, whole and as a first piece, and its layers.

T frames, S samples.
"""

import logging
from typing import NamedTuple

import torch

from .inputs import Inputs
from .loading import load_vocoder
from .options import Options
from .precision import float64
from .trace import Layers, as_dump, channels_first, traced, unchanged
from .writing import Writer

_log = logging.getLogger("capture")
OFFLINE_FRAMES = 120
_CHUNK_FRAMES = 80
_NOTE = (
    "mel (1, 80, frames) of the prompt; f0 in Hz per frame; source (1, 1, samples); audio (1, samples) at 24 kHz; "
    "*_f64: the same network in float64. Noise: rand_ini and dumps/hift_noise."
)
_END_TO_END_NOTE = "tokens -> mel -> audio with the noises of dumps/noise and dumps/hift_noise; *_f64 all in float64"
_TRACE_NOTE = "Outputs of layers; f0_predictor.condnet.N are the activations."


class Vocoded(NamedTuple):
    """F0 (1, T) float64, source (1, 1, S), audio (1, S), and what layers gave."""

    f0: torch.Tensor
    source: torch.Tensor
    audio: torch.Tensor
    layers: dict[str, torch.Tensor]


def capture_vocoder(
    options: Options, inputs: Inputs, tokens: list[int], mels: dict | None, writer: Writer, device: str
) -> None:
    """Writes hift_offline, hift_chunk, the trace and, given the flow's mels of the tokens, end_to_end."""
    hift = load_vocoder(options.model).to(device)
    offline = inputs.prompt.mel[:, :OFFLINE_FRAMES].transpose(1, 2)
    jobs = {"hift_offline": (offline, True), "hift_chunk": (offline[:, :, :_CHUNK_FRAMES], False)}
    if mels:
        jobs["end_to_end"] = (mels["mel"], True)
    with torch.inference_mode():
        runs = {name: vocode(hift, mel, finalize, device) for name, (mel, finalize) in jobs.items()}
        phase = hift.m_source.l_sin_gen.rand_ini
        if mels:
            jobs["end_to_end"] = (mels["mel_f64"], True)
        # Always, being cheap: the reference's float32 phase is wrong by more than the limit of a dump without truth.
        with float64(hift):
            truths = {
                name: vocode(hift, mel, finalize, device) for name, (mel, finalize) in jobs.items() if mel is not None
            }
    about = {"device": device, "dtype": "float32"}
    for name in ("hift_offline", "hift_chunk"):
        mel, finalize = jobs[name]
        dump = {"mel": mel, "rand_ini": phase, **_dump(runs[name], truths[name])}
        writer.tensors(name, dump, note=_NOTE, finalize=str(finalize), **about)
    if mels:
        dump = _end_to_end(inputs, tokens, mels, runs["end_to_end"], truths.get("end_to_end"))
        writer.tensors("end_to_end", dump, note=_END_TO_END_NOTE, device=device, dtype=options.dtype)
    if options.trace:
        layers = as_dump(runs["hift_offline"].layers, truths["hift_offline"].layers)
        writer.tensors("trace_hift", layers, note=_TRACE_NOTE, inputs="hift_offline.safetensors", **about)


def vocode(hift: torch.nn.Module, mel: torch.Tensor, finalize: bool, device: str) -> Vocoded:
    """The reference's own inference on a mel (1, 80, T), in the module's own dtype."""
    dtype = hift.conv_pre.bias.dtype
    _log.info("hift: %s frames, weights in %s", mel.shape[2], dtype)
    f0 = []
    hook = hift.f0_predictor.register_forward_hook(lambda module, args, output: f0.append(output.cpu()))
    with traced(_layers(hift)) as layers:
        audio, source = hift.inference(speech_feat=mel.to(device, dtype), finalize=finalize)
    hook.remove()
    return Vocoded(f0[0], source.cpu(), audio.cpu(), layers)


def _dump(run: Vocoded, truth: Vocoded) -> dict[str, torch.Tensor]:
    truths = {"source_f64": truth.source, "audio_f64": truth.audio}
    return {"f0_f64": run.f0, "source": run.source, "audio": run.audio, **truths}


def _end_to_end(
    inputs: Inputs, tokens: list[int], mels: dict, run: Vocoded, truth: Vocoded | None
) -> dict[str, torch.Tensor]:
    dump = {
        "speech_token": torch.tensor([tokens]),
        "prompt_token": inputs.prompt.speech.to(torch.int32),
        "prompt_feat": inputs.prompt.mel,
        "embedding": inputs.prompt.embedding,
        "mel": mels["mel"],
        "f0": run.f0,
        "audio": run.audio,
    }
    return dump | {"mel_f64": mels["mel_f64"], "audio_f64": truth.audio} if truth else dump


def _layers(hift: torch.nn.Module) -> Layers:
    condnet = hift.f0_predictor.condnet
    layers: Layers = {f"f0_predictor.condnet.{i}": (condnet[i], channels_first) for i in range(1, len(condnet), 2)}
    layers["f0_predictor"] = (hift.f0_predictor, _one_channel)
    layers["m_source"] = (hift.m_source, unchanged)
    layers["conv_pre"] = (hift.conv_pre, channels_first)
    for name in ("ups", "source_downs", "source_resblocks", "resblocks"):
        layers |= {f"{name}.{i}": (part, channels_first) for i, part in enumerate(getattr(hift, name))}
    return layers | {"conv_post": (hift.conv_post, channels_first)}


def _one_channel(value: torch.Tensor) -> torch.Tensor:
    """(B, T) -> (B, T, 1)."""
    return value[..., None]
