"""Whether the vocoder's source differs from the reference's in its noise alone.

B batch, T mel frames, S samples, H harmonics.
"""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cosy_jax.parity.checks.vocoder import vocode_dump
from cosy_jax.parity.dumps import inputs_of, read_dump
from cosy_jax.parity.locate.flow_faults import correlation
from cosy_jax.parity.locate.passes import recorded_source
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.source import Source
from cosy_jax.vocoder.vocode import excite

_INDEPENDENT = 0.1  # correlation below which two noises have nothing in common
_ALIKE = 0.1  # by how much their spreads may differ, and their means in spreads


def other_noise(synthesizer: Synthesizer, trace: Path) -> str:
    """A sentence where our sines fit the reference's source, and what is left of both is noise alike and independent;
    else ""."""
    path = inputs_of(trace)
    dump, config = read_dump(path, synthesizer.config), synthesizer.config.vocoder
    theirs = recorded_source(dump)
    ours = np.asarray(vocode_dump(synthesizer, path, dump)[1].source)
    if ours.shape != theirs.shape:
        return ""
    params, mel = synthesizer.params("vocoder"), jnp.asarray(dump["mel"].transpose(0, 2, 1))
    exact_f0, _, sines = excite(params, mel, jnp.asarray([mel.shape[1]]), config)
    f0 = np.asarray(exact_f0, np.float32)
    silence = jnp.zeros((ours.shape[1], config.harmonics))
    still = np.asarray(Source(config).apply({"params": params["source"]}, f0, sines, silence))
    amplitude = np.where(f0 > config.voiced_threshold, config.noise_std, config.sine_amplitude / 3)
    amplitude = np.repeat(amplitude, config.samples_per_frame, axis=1)
    mine, other = ((np.arctanh(x.astype(np.float64)) - np.arctanh(still)) / amplitude for x in (ours, theirs))
    spread = mine.std()
    alike = abs(other.std() / spread - 1) < _ALIKE and abs(other.mean() - mine.mean()) < _ALIKE * spread
    shared = correlation(mine, other)
    if not alike or abs(shared) > _INDEPENDENT:
        return ""
    return (
        f"another seed of the source's noise: the sines agree, and what is left is noise of the same spread "
        f"({mine.std():.3f} and {other.std():.3f}) with correlation {shared:.2f}"
    )
