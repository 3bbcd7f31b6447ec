"""Every layer against the reference's layer traces: how far ours are off, beside the reference's own float32 run.

B batch, P kept positions, C channels.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.parity.dumps import inputs_of, read_dump
from cosy_jax.parity.locate.passes import STAGES, Layers, Stage
from cosy_jax.synthesis.synthesizer import Synthesizer

_POSITIONS = ".positions"


class LayerError(NamedTuple):
    """rms(error) / rms(truth) of one value, over its kept positions.

    Truth is the dump's float64 where it has one, and `reference` the error of the dump itself; else truth is the dump
    and `reference` None.
    """

    stage: str
    name: str
    ours: float
    reference: float | None


def trace_layers(synthesizer: Synthesizer, path: Path) -> list[LayerError]:
    """All layers of a trace, in the data's order.

    The flow begins at the reference's own noise, and the vocoder's network gets the reference's exact source: of that
    source's float32 error, which its own run carries on, ours has nothing.

    Raises:
        CosyError: the dump that the trace was made from is not beside it, or the trace is of a model of another shape.
    """
    return layer_errors(synthesizer, path, run_layers(synthesizer, path, synthesizer.params(stage_of(path).params)))


def stage_of(path: Path) -> Stage:
    """The stage that a trace is of, by its name."""
    return next(stage for name, stage in STAGES.items() if path.stem.startswith(name))


def run_layers(synthesizer: Synthesizer, path: Path, params: dict) -> Layers:
    """Our value (B, P, C) of each layer in a trace, in the data's order, computed with `params` from what the
    reference's own run was given."""
    stage = stage_of(path)
    trace, inputs = read_dump(path, synthesizer.config), inputs_of(path)
    kept = {key.removesuffix(_POSITIONS): trace[key] for key in trace if key.endswith(_POSITIONS)}
    if not inputs.is_file():
        raise CosyError(f"{path} was traced from {inputs.name}, which is not beside it: copy it there.")
    taps = stage.taps(synthesizer.config)
    if unknown := sorted(kept.keys() - taps.keys()):
        raise CosyError(f"{path} has layers that this model lacks ({', '.join(unknown[:5])}): it is of another model.")
    found = stage.run(params, synthesizer, read_dump(inputs, synthesizer.config), kept)
    return {key: found[key] for key in taps if key in kept}


def layer_errors(synthesizer: Synthesizer, path: Path, ours: Layers) -> list[LayerError]:
    """Our layers, as `run_layers` gives them, against a trace. One layer at a time is held in float64."""
    stage, trace = stage_of(path).name, read_dump(path, synthesizer.config)
    return [error_of(stage, key, value, trace[key], trace.get(f"{key}_f64")) for key, value in ours.items()]


def error_of(stage: str, name: str, ours: np.ndarray, dump: np.ndarray, truth: np.ndarray | None = None) -> LayerError:
    """The relative error of one value, all arrays of one shape; NaN where the shapes differ."""
    if truth is None:
        return LayerError(stage, name, relative_rms(ours, dump), None)
    return LayerError(stage, name, relative_rms(ours, truth), relative_rms(dump, truth))


def relative_rms(x: np.ndarray, truth: np.ndarray) -> float:
    """rms(x - truth) / rms(truth), or rms(x) where the truth is 0 throughout; NaN for different shapes."""
    if x.shape != truth.shape:
        return float("nan")
    truth = truth.astype(np.float64)
    scale = float(np.sqrt(np.mean(truth**2))) or 1.0
    return float(np.sqrt(np.mean((x.astype(np.float64) - truth) ** 2))) / scale
