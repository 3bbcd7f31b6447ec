"""Weight norm (https://arxiv.org/abs/1602.07868) as another set of parameters for the same modules.

What is trained holds g (O,) and v (..., O) where a module wants a kernel w = g v / |v|, the norm being over all axes
but the last. Adam on g and v is not Adam on w, so that this is part of the training recipe.
"""

import jax.numpy as jnp
import numpy as np

# Kernels of two axes are linear layers'; of the convolutions, the reference leaves the source's downsampling plain.
_PLAIN = "source_downs_"


def fold(params: dict) -> dict:
    """The parameters that the modules take, as a differentiable function of the trained ones."""
    if "g" not in params:
        return {name: fold(part) if isinstance(part, dict) else part for name, part in params.items()}
    v = params["v"]
    kernel = params["g"] * v / jnp.sqrt(jnp.sum(v * v, axis=tuple(range(v.ndim - 1))))
    return {"kernel": kernel, **{name: part for name, part in params.items() if name not in ("g", "v")}}


def unfold(params: dict) -> dict:
    """Trained parameters from a module's: v = kernel and g = |v|, taken in float64 and rounded to the kernel's type.

    What folds into those kernels is not unique; this choice is the one that a fresh layer has.
    """
    if "kernel" in params and params["kernel"].ndim > 2:
        v = np.asarray(params["kernel"])
        norm = np.sqrt(np.sum(v.astype(np.float64) ** 2, axis=tuple(range(v.ndim - 1))))
        rest = {name: value for name, value in params.items() if name != "kernel"}
        return {"g": jnp.asarray(norm.astype(v.dtype)), "v": params["kernel"], **rest}
    return {
        name: unfold(part) if isinstance(part, dict) and not name.startswith(_PLAIN) else part
        for name, part in params.items()
    }
