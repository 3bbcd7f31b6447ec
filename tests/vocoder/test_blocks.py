"""The vocoder in loops, as a TPU runs it, against the network as it is written."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.compare.snr import snr_db
from cosy_jax.vocoder import blocks
from cosy_jax.vocoder.blocks import join_layers
from cosy_jax.vocoder.hift import HiFT
from cosy_jax.vocoder.vocode import decode


@pytest.mark.slow
@pytest.mark.parametrize("block", [1024, 14])  # one block; several, which do not divide the frames
def test_blocks_equal_the_network(synthesizer, monkeypatch, block):
    monkeypatch.setattr(blocks, "_BLOCK", block)
    params, config, frames = synthesizer.params("vocoder"), synthesizer.config.vocoder, np.asarray([40, 23])
    random = np.random.default_rng(0)
    mel = np.where(np.arange(40)[:, None] < frames[:, None, None], random.normal(-4, 2, (2, 40, 80)), 0)
    source = random.normal(0, 0.1, (2, 40 * config.samples_per_frame)).astype(np.float32)
    given = mel.astype(np.float32), frames, source, frames
    whole = jax.jit(lambda *given: HiFT(config).apply({"params": params}, *given, method="decode"))(*given)
    in_blocks = functools.partial(blocks.decode_in_blocks, join_layers(params, config), config=config)
    ours = jax.jit(in_blocks)(*given)
    for row, samples in enumerate(frames * config.samples_per_frame):
        assert snr_db(np.asarray(ours[row, :samples]), np.asarray(whole[row, :samples])) > 110


def test_loops_have_no_convolution_and_no_length(synthesizer):
    """Both are what a TPU's compiler would take its time for."""
    config, params = synthesizer.config.vocoder, synthesizer.params("vocoder")
    joined = jax.eval_shape(functools.partial(join_layers, config=config), params)

    def lowered(params, frames, platform):
        f0, sines = jnp.zeros((1, frames)), jnp.zeros((1, frames, config.harmonics))
        noise = jnp.zeros((frames * config.samples_per_frame, config.harmonics))
        given = jnp.zeros((1, frames, 80)), jnp.asarray([frames]), f0, sines, noise, jnp.ones(1, bool)
        text = decode.trace(params, *given, config=config).lower(lowering_platforms=(platform,)).as_text()
        return len(re.findall(r"stablehlo\.convolution", text)), len(text.splitlines())

    (no_convolution, short), (none_either, long) = (lowered(joined, frames, "tpu") for frames in (20, 2000))
    assert no_convolution == none_either == 0 < lowered(params, 20, "cpu")[0]
    assert long <= 1.01 * short  # a helper or two that other lengths share
    assert long < lowered(params, 20, "tpu")[1]
