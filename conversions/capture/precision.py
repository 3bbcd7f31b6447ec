"""The reference in half precision, and in float64 as the truth that float32 runs are measured against."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from unittest import mock

import scipy.signal
import torch


def half_precision(device: str, dtype: str) -> AbstractContextManager:
    """The reference's own switch: autocast to `dtype`, weights stay float32; nothing for float32."""
    enabled = dtype != "float32"
    return torch.autocast(device, dtype=getattr(torch, dtype) if enabled else torch.bfloat16, enabled=enabled)


def keep_rotary_exact(rotary: torch.nn.Module) -> None:
    """x_transformers switches autocast off for its phases on a GPU only; positions above 256 need it on a CPU too."""
    forward = rotary.forward

    def exact(t: torch.Tensor) -> tuple:
        with torch.autocast("cpu", enabled=False):
            return forward(t)

    rotary.forward = exact


@contextmanager
def float64(module: torch.nn.Module) -> Iterator[None]:
    """Turns the module into float64, and while this lasts every cast to float32 in the reference casts to float64.

    The reference casts in norms, rotary phases, the time embedding and of results. Constants that it computes (not
    reads from its weights) are computed anew: they are part of what float32 rounds.
    """
    module.double()
    default = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    names = mock.patch.multiple(torch, float32=torch.float64, float=torch.float64)
    try:
        with names, mock.patch.object(torch.Tensor, "float", torch.Tensor.double):
            _renew_constants(module)
            yield
    finally:
        torch.set_default_dtype(default)


def _renew_constants(module: torch.nn.Module) -> None:
    for part in module.modules():
        if hasattr(part, "rope_init_fn"):
            part.inv_freq = part.rope_init_fn(part.config, part.inv_freq.device)[0]
        if hasattr(part, "stft_window"):
            window = scipy.signal.get_window("hann", part.istft_params["n_fft"], fftbins=True)
            part.stft_window = torch.from_numpy(window)
