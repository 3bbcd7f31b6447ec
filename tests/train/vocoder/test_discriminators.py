"""Sizes of the discriminators."""

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.train.vocoder.config import DiscriminatorConfig
from cosy_jax.train.vocoder.discriminators import Discriminators, PeriodDiscriminator


def trained(shapes):
    """How many values: a kernel of weight norm has a norm an output more."""
    return sum(values.size for values in jax.tree.leaves(shapes)) + sum(
        conv["bias"].size for module in shapes.values() for conv in module.values()
    )


def test_full_size_is_the_reference_s():
    audio = jnp.zeros((1, 2400))
    shapes = jax.eval_shape(Discriminators(DiscriminatorConfig()).init, jax.random.key(0), audio)["params"]
    assert trained({name: part for name, part in shapes.items() if name.startswith("mpd")}) == 41_105_770
    assert trained({name: part for name, part in shapes.items() if name.startswith("mrd")}) == 280_902


def test_a_period_s_columns_do_not_mix():
    config = DiscriminatorConfig(period_channels=(2, 3))
    module = PeriodDiscriminator(3, config)
    audio = jnp.asarray(np.random.default_rng(0).standard_normal((1, 39)), jnp.float32)
    variables = jax.jit(module.init)(jax.random.key(0), audio)
    other = audio.at[0, 1::3].add(1.0)
    before, after = (np.asarray(module.apply(variables, each)[0]).reshape(1, 3, -1, 2) for each in (audio, other))
    np.testing.assert_array_equal(before[:, 2], after[:, 2])
    assert np.all(before[:, 1] != after[:, 1])
