"""The vocoder's trained parameters by the reference's names (torch's older spelling of weight norm) and layouts.

O output and I input features, K (or H, W) kernel taps.
"""

import re

import flax.traverse_util
import jax
import numpy as np

from cosy_jax.conversions.mapping import Rule, alternatives
from cosy_jax.conversions.rules.vocoder import RULES
from cosy_jax.parity.sketch import seeded_weights
from cosy_jax.train.vocoder.config import GanConfig
from cosy_jax.train.vocoder.steps import random_discriminators
from cosy_jax.train.vocoder.weight_norm import unfold

_D_NAMES = (
    (r"mpd_(\d+)/convs_(\d+)", r"mpd.discriminators.\1.convs.\2"),
    (r"mpd_(\d+)/conv_post", r"mpd.discriminators.\1.conv_post"),
    (r"mrd_(\d+)/convs_(\d+)", r"mrd.discriminators.\1.discriminators.\2"),
    (r"mrd_(\d+)/conv_post", r"mrd.discriminators.\1.out"),
)
_G_RULES = [rule for rule in RULES if isinstance(rule, Rule)]
_D_LEAVES = {"g": "weight_g", "v": "weight_v", "kernel": "weight", "bias": "bias"}


def generator_values(params: dict) -> dict[str, np.ndarray]:
    """The generator's trained parameters, or gradients of them."""
    return {_generator_name(path): _to_reference(values) for path, values in _flat(params).items()}


def discriminator_values(params: dict) -> dict[str, np.ndarray]:
    """The discriminators' trained parameters, or gradients of them."""
    return {_discriminator_name(path): _to_reference(values) for path, values in _flat(params).items()}


def seeded_discriminators(config: GanConfig) -> dict:
    """The trained parameters that a capture starts from, which the reference's names and layouts decide."""
    fresh = _flat(random_discriminators(jax.random.key(0), config))
    drawn = {}
    for path, values in fresh.items():
        fan_in = int(np.prod(fresh[f"{path.rpartition('/')[0]}/kernel"].shape[:-1]))
        weights = seeded_weights(_discriminator_name(path), _to_reference(values).shape, fan_in)
        drawn[path] = weights.transpose(_BACK[weights.ndim])
    return unfold(flax.traverse_util.unflatten_dict(drawn, sep="/"))


# By the number of axes: (K, I, O) -> (O, I, K) and (H, W, I, O) -> (O, I, H, W), and back.
_FORTH = {1: (0,), 2: (0, 1), 3: (2, 1, 0), 4: (3, 2, 0, 1)}
_BACK = {1: (0,), 2: (0, 1), 3: (2, 1, 0), 4: (2, 3, 1, 0)}


def _to_reference(values: np.ndarray) -> np.ndarray:
    return values.transpose(_FORTH[values.ndim])


def _flat(params: dict) -> dict[str, np.ndarray]:
    return {path: np.asarray(values) for path, values in flax.traverse_util.flatten_dict(params, sep="/").items()}


def _generator_name(path: str) -> str:
    module, _, leaf = path.rpartition("/")
    normed = leaf in ("g", "v")
    spellings = [sources for _, sources in alternatives(_G_RULES, f"{module}/kernel" if normed else path)]
    if normed:
        return next(pair["gv".index(leaf)] for pair in spellings if pair[0].endswith(".weight_g"))
    return spellings[-1][0]  # the one without weight norm


def _discriminator_name(path: str) -> str:
    module, _, leaf = path.rpartition("/")
    pattern, name = next(each for each in _D_NAMES if re.fullmatch(each[0], module))
    return f"{re.sub(pattern, name, module)}.{_D_LEAVES[leaf]}"
