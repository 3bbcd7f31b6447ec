"""One batch as the reference learns from it: loss, the gradient of every parameter, and three steps of Adam."""

from collections.abc import Callable

import torch

from ..precision import float64

STEPS = 3
LEARNING_RATE = 1e-5
_TRUTH = "_f64"
_ROWS = "#rows"
_NOTE = (
    "gradient/NAME is that of the loss; update/NAME is what three Adam steps of the reference's settings on this same "
    "batch add. NAME#rows: the rows that are stored, all others are zero. *_f64 is the same network in float64."
)

Tensors = dict[str, torch.Tensor]
Loss = Callable[[], Tensors]


def learn(model: torch.nn.Module, loss: Loss, note: str) -> tuple[Tensors, str]:
    """What the dump holds of `loss()`, whose entry "loss" is differentiated and whose others are stored as they are: in
    float32 and in float64, from the same weights."""
    start = {name: value.detach().clone() for name, value in model.state_dict().items()}
    found = _learn(model, loss)
    model.load_state_dict(start)
    with float64(model):
        truth = _learn(model, loss)
    return found | {f"{name}{_TRUTH}": value for name, value in truth.items() if not name.endswith(_ROWS)}, (
        f"{note} {_NOTE}"
    )


def _learn(model: torch.nn.Module, loss: Loss) -> Tensors:
    model.zero_grad(set_to_none=True)
    first = loss()
    first["loss"].backward()
    learnt = {name: value for name, value in model.named_parameters() if value.grad is not None}
    stored = {name: value.detach().clone() for name, value in first.items()}
    before = {name: value.detach().clone() for name, value in learnt.items()}
    gradients = {name: value.grad.clone() for name, value in learnt.items()}
    optimiser = torch.optim.Adam(learnt.values(), lr=LEARNING_RATE)
    for step in range(STEPS):
        if step:
            optimiser.zero_grad()
            loss()["loss"].backward()
        optimiser.step()
    for name, gradient in gradients.items():
        rows = _rows(gradient)
        update = learnt[name].detach() - before[name]
        stored |= {f"gradient/{name}": gradient[rows], f"update/{name}": update[rows]}
        if isinstance(rows, torch.Tensor):
            stored[f"gradient/{name}{_ROWS}"] = rows
    return stored


def _rows(gradient: torch.Tensor) -> torch.Tensor | slice:
    """Those that are not all zero, where these are the lesser part: of a vocabulary, a batch holds few ids."""
    if gradient.ndim != 2:
        return slice(None)
    used = gradient.abs().amax(dim=1) > 0
    return used.nonzero()[:, 0] if 2 * int(used.sum()) < len(used) else slice(None)
