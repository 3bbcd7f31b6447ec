"""Which heads of the flow's attention are rotated, ours and the reference's: found by attending in each way.

R rows, T frames, P kept positions, D model, H heads, E head width.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from cosy_jax.config import FlowConfig
from cosy_jax.parity.dumps import inputs_of, read_dump
from cosy_jax.parity.locate.passes import STAGES
from cosy_jax.parity.locate.trace import relative_rms
from cosy_jax.synthesis.synthesizer import Synthesizer

_ATTENTION = re.compile(r"transformer_blocks\.(\d+)\.attn")
_CLEARLY = 0.1  # the way that fits is off by less than this, of what the next best one is


def rotated_heads(synthesizer: Synthesizer, path: Path, name: str) -> str:
    """A sentence where our run and the reference rotate different heads in attention layer `name`, else ""."""
    match = _ATTENTION.fullmatch(name)
    if not match:
        return ""
    trace = read_dump(path, synthesizer.config)
    positions, truth = trace[f"{name}.positions"], trace.get(f"{name}_f64", trace[name])
    dump = read_dump(inputs_of(path), synthesizer.config)
    config, params, given = synthesizer.config.flow, synthesizer.params("flow"), f"{name}_norm"
    frames = config.token_mel_ratio * sum(dump[key].shape[1] for key in ("prompt_token", "token"))
    wanted = {given: np.arange(frames), name: positions}
    values = STAGES["trace_flow"].run(params, synthesizer, dump, wanted)
    layer = params["dit"][f"blocks_{match[1]}"]["attention"]
    ways = {
        words: attend(values[given], layer, config, heads, positions)
        for words, heads in (("no head", 0), ("the first head alone", 1), ("all heads", config.heads))
    }
    ours, theirs = _way(ways, values[name]), _way(ways, truth)
    if not ours or not theirs or ours == theirs:
        return ""
    return f"rotary positions: our run rotates {ours}, the reference {theirs}"


def _way(ways: Mapping[str, np.ndarray], output: np.ndarray) -> str:
    """The way that gives this output, "" where none does clearly."""
    errors = sorted((relative_rms(value, output), words) for words, value in ways.items())
    return errors[0][1] if errors[0][0] < _CLEARLY * errors[1][0] else ""


def attend(x: np.ndarray, params: Mapping, config: FlowConfig, rotated: int, positions: np.ndarray) -> np.ndarray:
    """Attention over x (R, T, D) in float64, all frames seen, with the first `rotated` heads turned by rotary positions
    in interleaved pairs -> the outputs (R, P, D) at `positions`. Written apart from the network, which it judges."""

    def linear(name: str, x: np.ndarray) -> np.ndarray:
        return x @ np.asarray(params[name]["kernel"], np.float64).T + np.asarray(params[name]["bias"], np.float64)

    def heads(name: str) -> np.ndarray:
        return linear(name, x.astype(np.float64)).reshape(*x.shape[:2], config.heads, config.head_dim)

    query, key = (_rotate(heads(name), rotated) for name in ("query", "key"))
    scores = np.einsum("rphe,rthe->rhpt", query[:, positions], key) * config.head_dim**-0.5
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    weights /= weights.sum(axis=-1, keepdims=True)
    mixed = np.einsum("rhpt,rthe->rphe", weights, heads("value"))
    return linear("output", mixed.reshape(*mixed.shape[:2], -1))


def _rotate(x: np.ndarray, count: int) -> np.ndarray:
    """(R, T, H, E) with the first `count` heads turned, each pair as one complex number."""
    pairs = x[:, :, :count, 0::2] + 1j * x[:, :, :count, 1::2]
    rates = 10000.0 ** -(np.arange(0, x.shape[3], 2) / x.shape[3])
    pairs *= np.exp(1j * np.arange(x.shape[1])[:, None] * rates)[:, None]
    turned = np.stack([pairs.real, pairs.imag], axis=-1).reshape(*pairs.shape[:3], x.shape[3])
    return np.concatenate([turned, x[:, :, count:]], axis=2)
