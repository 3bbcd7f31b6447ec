"""What single layers compute.

B batch, P kept positions of the time axis, C channels.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

KEPT_POSITIONS = 96
View = Callable[[torch.Tensor], torch.Tensor]
# Key -> the module whose output is kept, and the view of it that is (B, T, C).
Layers = dict[str, tuple[torch.nn.Module, View]]


@contextmanager
def traced(layers: Layers) -> Iterator[dict[str, torch.Tensor]]:
    """While this lasts, the first output of each layer lands in the dict it gives, with its positions.

    `key` is (B, P, C), `key.positions` (P,). Of outputs that are tuples the first part counts.
    """
    found: dict[str, torch.Tensor] = {}
    hooks = [module.register_forward_hook(_keeper(found, key, view)) for key, (module, view) in layers.items()]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def kept(key: str, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """A value (B, T, C) thinned out along T, and the positions, by the names that `traced` gives them."""
    length = value.shape[1]
    positions = np.linspace(0, length - 1, min(length, KEPT_POSITIONS)).round().astype(np.int32)
    index = torch.from_numpy(positions)
    return {key: value.index_select(1, index.to(value.device)).cpu(), f"{key}.positions": index}


def as_dump(values: dict[str, torch.Tensor], truth: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The trace as it is stored: float32, with the float64 values (if any) under `key`_f64."""
    stored = {key: value if key.endswith(".positions") else value.to(torch.float32) for key, value in values.items()}
    return stored | {f"{key}_f64": value for key, value in truth.items() if not key.endswith(".positions")}


def channels_first(value: torch.Tensor) -> torch.Tensor:
    """(B, C, T) -> (B, T, C)."""
    return value.transpose(1, 2)


def unchanged(value: torch.Tensor) -> torch.Tensor:
    """(B, T, C) as it is."""
    return value


def _keeper(found: dict[str, torch.Tensor], key: str, view: View) -> Callable:
    # index_select copies, which matters: the vocoder adds to one of its outputs in place.
    def hook(module: torch.nn.Module, args: tuple, output: torch.Tensor | tuple) -> None:
        if key not in found:
            found.update(kept(key, view(output if torch.is_tensor(output) else output[0])))

    return hook
