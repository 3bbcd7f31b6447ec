"""Weight norm of torch's modules, in the older spelling and the newer.

O outputs.
"""

import torch


def normalised(module: torch.nn.Module) -> bool:
    """Whether the module's weight is a product of g and v."""
    return hasattr(module, "weight_g") or hasattr(module, "parametrizations")


def folded(module: torch.nn.Module) -> torch.Tensor:
    """The weight (O, ...) that g and v make, taken in float64 as a conversion does."""
    g, v = (part.data.double() for part in _parts(module))
    return (g * v / _norm(v)).float()


def set_weight(module: torch.nn.Module, weight: torch.Tensor) -> None:
    """Makes v the weight (O, ...), float32, and g its norm (O, 1, ...), as in a fresh layer.

    What folds into one weight is not unique, while the gradient of v depends on its length.
    """
    g, v = _parts(module)
    g.data, v.data = _norm(weight.double()).float(), weight.clone()


def _parts(module: torch.nn.Module) -> tuple[torch.nn.Parameter, torch.nn.Parameter]:
    if hasattr(module, "weight_g"):
        return module.weight_g, module.weight_v
    return module.parametrizations.weight.original0, module.parametrizations.weight.original1


def _norm(v: torch.Tensor) -> torch.Tensor:
    return torch.linalg.vector_norm(v.flatten(1), dim=1).reshape(-1, *[1] * (v.ndim - 1))
