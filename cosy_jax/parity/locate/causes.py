"""Hypotheses about why a layer is off, each put to the test by computing what it would mean.

B batch, P kept positions, C channels, O/I output/input features.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.nn.layers import Linear
from cosy_jax.parity.dumps import read_dump
from cosy_jax.parity.locate.growth import FLOAT32, rounding_of
from cosy_jax.parity.locate.rotation import rotated_heads
from cosy_jax.parity.locate.source_noise import other_noise
from cosy_jax.parity.locate.trace import LayerError, layer_errors, relative_rms, run_layers, stage_of
from cosy_jax.synthesis.synthesizer import Synthesizer


class Suspect(NamedTuple):
    """A layer of the trace at `path` that is off by more than `limit`, and all layers of the trace."""

    synthesizer: Synthesizer
    path: Path
    layers: list[LayerError]
    layer: LayerError
    limit: float


def likely_cause(suspect: Suspect) -> str:
    """The first hypothesis that the figures bear out, else ""."""
    return next((text for cause in _CAUSES if (text := cause(suspect))), "")


# By trace: the last projection, of which the reference's own input is known, and where its parameters are.
_LAST = {
    "trace_llm": ("norm", "llm_decoder", ("speech_head",)),
    "trace_flow": ("norm_out", "proj_out", ("dit", "output_projection")),
}
# In the vocoder: layers that have their input from the dump, none from another.
_FIRST = ("conv_pre", "source_downs.0")
# Relative error of a product whose operands are rounded so: from, to.
_FORMATS = {"TF32 or float16": (2.0**-14, 2.0**-10), "bfloat16": (2.0**-10, 2.0**-6)}


def reduced_precision(suspect: Suspect) -> str:
    """Layers that depend on no other are off as well, by what products of rounded operands are off by."""
    alone = dict(_alone(suspect))
    exact = rounding_of(suspect.layer.stage, suspect.synthesizer.precision) == FLOAT32
    if not exact or list(alone) == [suspect.layer.name]:
        return ""
    for name, (low, high) in _FORMATS.items():
        if alone and all(low < error < high for error in alone.values()):
            whose = "our run" if suspect.layer.reference is not None else "one of the two runs"
            errors = ", ".join(f"{layer} {error:.1e}" for layer, error in alone.items())
            return (
                f"matrix products in reduced precision ({name}) in {whose}: given the reference's own input, off by "
                f"{errors}; run with dtype float32, and on a GPU with jax_default_matmul_precision highest"
            )
    return ""


def _alone(suspect: Suspect) -> Iterator[tuple[str, float]]:
    """Errors of layers that are given the reference's own input."""
    trace = next((trace for trace in _LAST if suspect.path.stem.startswith(trace)), None)
    if trace is None:
        yield from ((layer.name, layer.ours) for layer in suspect.layers if layer.name in _FIRST)
        return
    given, name, where = _LAST[trace]
    dump = read_dump(suspect.path, suspect.synthesizer.config)
    suffix = "_f64" if f"{name}_f64" in dump else ""
    rows = [dump[f"{key}.positions"] for key in (given, name)]
    _, here, there = np.intersect1d(rows[0], rows[1], return_indices=True)
    x, truth = dump[f"{given}{suffix}"][:, here], dump[f"{name}{suffix}"][:, there]
    params = suspect.synthesizer.params(stage_of(suspect.path).params)
    for key in where:
        params = params[key]
    linear = Linear(truth.shape[-1], "bias" in params, suspect.synthesizer.precision)
    yield name, relative_rms(np.asarray(linear.apply({"params": params}, jnp.asarray(x, jnp.float32))), truth)


def transposed(suspect: Suspect) -> str:
    """With a square matrix of the layer turned round, or all of them, the layer agrees."""
    stage = stage_of(suspect.path)
    tap = stage.taps(suspect.synthesizer.config)[suspect.layer.name]
    if tap.given or not tap.module:
        return ""
    params = suspect.synthesizer.params(stage.params)
    matrices = _square_matrices(params, tap.module)
    for turned in [[name] for name in matrices] + [matrices] * (len(matrices) > 1):
        ours = run_layers(suspect.synthesizer, suspect.path, _turned(params, turned))
        errors = {layer.name: layer.ours for layer in layer_errors(suspect.synthesizer, suspect.path, ours)}
        if errors[suspect.layer.name] <= suspect.limit:
            which = " and ".join(turned)
            return f"transposed: with {which} turned round the error is {errors[suspect.layer.name]:.1e}"
    return ""


def _square_matrices(params: dict, module: str) -> list[str]:
    """Paths of the kernels (O, I) or (K, I, O) of a module that a transposition would fit, joined by '/'."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = ((jax.tree_util.keystr(path, simple=True, separator="/"), leaf) for path, leaf in leaves)
    return [
        name
        for name, leaf in named
        if name.startswith(f"{module}/") and leaf.ndim >= 2 and leaf.shape[-1] == leaf.shape[-2]
        if leaf.dtype != jnp.int8
    ]


def _turned(params: dict, names: list[str]) -> Any:
    def turn(path: Any, leaf: jax.Array) -> jax.Array:
        here = jax.tree_util.keystr(path, simple=True, separator="/") in names
        return jnp.swapaxes(leaf, -1, -2) if here else leaf

    return jax.tree_util.tree_map_with_path(turn, params)


def rotary(suspect: Suspect) -> str:
    """The reference's attention rotates other heads than ours."""
    return rotated_heads(suspect.synthesizer, suspect.path, suspect.layer.name)


def source_noise(suspect: Suspect) -> str:
    """The source differs in its noise alone."""
    return other_noise(suspect.synthesizer, suspect.path) if suspect.layer.name == "m_source" else ""


_CAUSES: tuple[Callable[[Suspect], str], ...] = (reduced_precision, transposed, rotary, source_noise)
