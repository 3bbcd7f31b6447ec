"""The vocoder's adversarial training: one batch with its draws, every loss, every gradient, and three steps of Adam.

B batch, S samples, T mel frames, H harmonics.
"""

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from unittest import mock

import numpy as np
import torch

from ..loading import load_vocoder
from ..options import Options
from ..precision import float64
from ..writing import Writer
from .sketch import seeded_weights, sketch
from .weight_norm import folded, normalised, set_weight

_log = logging.getLogger("capture")
_ROWS, _FRAMES, _HOP = 2, 8, 480
_STEPS, _RATE, _CLIP = 3, 2e-4, 5.0
_FULL_CHANNELS = 512  # of a vocoder of the released size, which gets discriminators of full size
_NOTE = (
    "speech (B, S), its mel (B, T, M), f0 in Hz (B, T), and the source's noise of the discriminators' and of the "
    "generator's step, rounded to float16 after it was drawn. Losses at the start, sketches (training/sketch.py) and "
    "norms of their gradients, and of what three steps of Adam add with the same draws, each with the norm of the "
    "module's own gradients clipped to 5; a row a parameter, by sorted names in torch's older spelling. Weight norm "
    "starts from v = weight, g = its norm; the discriminators from capture/training/sketch.py. *_f64: all in float64."
)


def capture_training_vocoder(options: Options, writer: Writer, device: str) -> None:
    """Writes training_vocoder."""
    generator = load_vocoder(options.model)
    divisor = max(_FULL_CHANNELS // generator.conv_pre.bias.numel(), 1)
    gan = _gan(generator, divisor).train()
    batch, noises = _batch(generator.m_source.l_sin_gen.dim)
    dump = {**batch, **noises}
    start = {name: value.clone() for name, value in gan.state_dict().items()}
    for suffix, context in (("", nullcontext(gan)), ("_f64", float64(gan))):
        gan.load_state_dict(start)
        with context:
            _renew(gan)
            dump |= {f"{name}{suffix}": value for name, value in _run(gan, batch, noises).items()}
    norms = {name: dump.pop(name) for name in list(dump) if name.endswith("_norms")}
    dump |= {name: dump.pop(f"{name}_f64") for name in norms}
    channels = [conv.bias.numel() for conv in gan.discriminator.mpd.discriminators[0].convs]
    spectral = gan.discriminator.mrd.discriminators[0].discriminators[0].bias.numel()
    about = {"period_channels": " ".join(map(str, channels)), "spectral_channels": str(spectral)}
    writer.tensors("training_vocoder", dump, note=_NOTE, device=device, dtype="float32", **about)


def _gan(generator: torch.nn.Module, divisor: int) -> torch.nn.Module:
    """The reference's model over a generator, with discriminators of full width over `divisor`."""
    from cosyvoice.hifigan.discriminator import MultipleDiscriminator, MultiResSpecDiscriminator
    from cosyvoice.hifigan.hifigan import HiFiGan
    from matcha.hifigan import models
    from matcha.utils.audio import mel_spectrogram

    def narrow(inputs: int, outputs: int, *args: object, **options: object) -> torch.nn.Module:
        return conv2d(*(max(size // divisor, 2) if size > 1 else 1 for size in (inputs, outputs)), *args, **options)

    conv2d = torch.nn.Conv2d
    with mock.patch.object(torch.nn, "Conv2d", narrow), mock.patch.object(models, "Conv2d", narrow):
        discriminator = MultipleDiscriminator(models.MultiPeriodDiscriminator(), MultiResSpecDiscriminator())
    for name, part in discriminator.named_modules():
        if isinstance(part, conv2d):
            fan_in = part.in_channels * part.kernel_size[0] * part.kernel_size[1]
            shape = (part.out_channels, part.in_channels, *part.kernel_size)
            set_weight(part, torch.from_numpy(seeded_weights(f"{name}.weight", shape, fan_in)))
            bias = seeded_weights(f"{name}.bias", (part.out_channels,), fan_in)
            part.bias.data = torch.from_numpy(bias)
    for part in generator.modules():
        if normalised(part):
            set_weight(part, folded(part))
    mel = functools.partial(
        mel_spectrogram, n_fft=1920, num_mels=80, sampling_rate=24000, hop_size=_HOP, win_size=1920, fmin=0, fmax=None,
        center=False,
    )  # fmt: skip
    return HiFiGan(generator, discriminator, [mel])


def _batch(harmonics: int) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Two buzzing tones, one of which falls silent, and the noises."""
    random = np.random.RandomState(0)
    time = np.arange(_FRAMES * _HOP) / 24000
    hertz = np.asarray([[120.0], [210.0]]) * (1 + 0.05 * np.sin(2 * np.pi * 5 * time))
    phase = np.cumsum(2 * np.pi * hertz / 24000, axis=1)
    speech = 0.2 * sum(np.sin(k * phase) / k for k in range(1, 9)) + 0.01 * random.standard_normal(phase.shape)
    speech[1, -_HOP * 2 - 100 :] = 0.0
    f0 = hertz[:, _HOP // 2 :: _HOP].copy()
    f0[1, -2:] = 0.0
    speech = torch.from_numpy(speech.astype(np.float32))
    shape = (_ROWS, speech.shape[1], harmonics)
    noises = {f"{turn}_noise": torch.from_numpy(random.standard_normal(shape).astype(np.float16)) for turn in "dg"}
    return {"speech": speech, "mel": _mel(speech), "f0": torch.from_numpy(f0.astype(np.float32))}, noises


def _mel(speech: torch.Tensor) -> torch.Tensor:
    from matcha.utils import audio

    return audio.mel_spectrogram(speech, 1920, 80, 24000, _HOP, 1920, 0, None).transpose(1, 2)


def _renew(gan: torch.nn.Module) -> None:
    """Constants in the default type: windows, and what matcha keeps between calls."""
    from matcha.utils import audio

    audio.mel_basis.clear()
    audio.hann_window.clear()
    for part in gan.discriminator.mrd.discriminators:
        part.window = torch.hann_window(part.win_length)


def _run(gan: torch.nn.Module, batch: dict, noises: dict) -> dict[str, torch.Tensor]:
    """Losses and gradients at the start, and what the steps add."""
    kind = gan.generator.conv_pre.bias.dtype
    given = {"speech": batch["speech"], "speech_feat": batch["mel"], "pitch_feat": batch["f0"]}
    given = {name: value.to(kind) for name, value in given.items()}
    modules = {"d": gan.discriminator, "g": gan.generator}
    found: dict[str, torch.Tensor] = {}
    for turn, module in modules.items():
        losses = _backward(gan, turn, given, noises)
        found |= {f"{turn}_{name.removeprefix('loss_')}": value.detach().reshape(1) for name, value in losses.items()}
        gradients = {name: value.grad for name, value in module.named_parameters()}
        found |= _sketches(f"{turn}_gradient", gradients)
    start = {turn: [value.detach().clone() for value in module.parameters()] for turn, module in modules.items()}
    adams = {turn: torch.optim.Adam(module.parameters(), lr=_RATE) for turn, module in modules.items()}
    for _ in range(_STEPS):
        for turn, module in modules.items():
            _backward(gan, turn, given, noises)
            torch.nn.utils.clip_grad_norm_(module.parameters(), _CLIP)
            adams[turn].step()
    for turn, module in modules.items():
        pairs = zip(module.named_parameters(), start[turn], strict=True)
        moved = {name: value - before for (name, value), before in pairs}
        found |= _sketches(f"{turn}_update", moved)
    _log.info("training: %s, losses %.6f and %.6f", kind, found["d_loss"].item(), found["g_loss"].item())
    return found


def _backward(gan: torch.nn.Module, turn: str, given: dict, noises: dict) -> dict[str, torch.Tensor]:
    """The losses of a turn; its gradients are in the parameters."""
    gan.zero_grad()
    batch = {**given, "turn": "generator" if turn == "g" else "discriminator"}
    with _drawn(noises[f"{turn}_noise"]):
        losses = gan(batch, torch.device("cpu"))
    losses["loss"].backward()
    return losses


@contextmanager
def _drawn(noise: torch.Tensor) -> Iterator[None]:
    """While this lasts the sine source draws this noise; the other noise of its shape less harmonics is not used."""

    def randn_like(value: torch.Tensor) -> torch.Tensor:
        return noise.to(value) if value.shape == noise.shape else torch.zeros_like(value)

    with mock.patch.object(torch, "randn_like", randn_like):
        yield


def _sketches(kind: str, values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A row a parameter, by sorted names: `kind`s (parameters, P) and `kind`_norms (parameters,)."""
    arrays = {_older(name): value.detach().double().numpy() for name, value in values.items()}
    rows = np.stack([sketch(name, arrays[name]) for name in sorted(arrays)])
    norms = np.asarray([np.linalg.norm(arrays[name]) for name in sorted(arrays)])
    return {f"{kind}s": torch.from_numpy(rows), f"{kind}_norms": torch.from_numpy(norms)}


def _older(name: str) -> str:
    for new, old in (("original0", "g"), ("original1", "v")):
        name = name.replace(f".parametrizations.weight.{new}", f".weight_{old}")
    return name
