"""The fixed noises that the reference draws while it builds its modules."""

import torch

from .loading import build
from .options import Options
from .vocoder import OFFLINE_FRAMES
from .writing import Writer

_NOISE_NOTE = (
    "exact float32 values. flow noise: manual_seed(0) then randn(1,80,15000). hift: drawn while the modules are built, "
    "in the order of cosyvoice3.yaml, at this model's sizes."
)
_UNIFORM_NOTE = (
    "exact U(0,1) noise of the vocoder's source module, one row a sample, one column a harmonic, for this model's "
    "sizes, as long as the longest audio among the dumps"
)
_RELEASED_NOTE = (
    "exact float32 values that the reference draws while it builds the released-size model. uniform_noise_first: "
    "samples 0..2399; uniform_noise_at_100000: samples 100000..100479."
)
# What is drawn between the flow's noise and the vocoder's: weights of these layers.
_RELEASED_SHAPES = ((6561, 80), (80, 192), (512, 80, 4))


def capture_noise(options: Options, tokens: list[int], writer: Writer) -> None:
    """Writes noise, hift_noise and, of a model of the released sizes, noise_released_size."""
    built = build(options.model, "flow", "hift")
    flow, hift = built["flow"], built["hift"]
    source = hift.m_source.l_sin_gen
    first, last = flow.decoder.rand_noise, flow.decoder.rand_noise[..., -64:]
    frames = max(OFFLINE_FRAMES, flow.token_mel_ratio * len(tokens))
    about = {"device": "cpu", "dtype": "float32"}
    noise = {"flow_noise": first[..., :1000], "flow_noise_last_frames": last, "rand_ini": source.rand_ini}
    writer.tensors("noise", noise, note=_NOISE_NOTE, **about)
    uniform = source.sine_waves[:, : frames * int(source.upsample_scale)]
    writer.tensors("hift_noise", {"uniform_noise": uniform}, note=_UNIFORM_NOTE, **about)
    if _shapes(flow, hift) == _RELEASED_SHAPES:
        released = {
            "flow_noise_first_frames": first[..., :64],
            "flow_noise_last_frames": last,
            "rand_ini": source.rand_ini,
            "uniform_noise_first": source.sine_waves[:, :2400],
            "uniform_noise_at_100000": source.sine_waves[:, 100000:100480],
        }
        writer.tensors("noise_released_size", released, note=_RELEASED_NOTE, **about)


def _shapes(flow: torch.nn.Module, hift: torch.nn.Module) -> tuple[tuple[int, ...], ...]:
    layers = (flow.input_embedding, flow.spk_embed_affine_layer, hift.f0_predictor.condnet[0])
    return tuple(tuple(layer.weight.shape) for layer in layers)
