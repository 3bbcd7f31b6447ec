"""What a dump says of the run that it holds."""

from pathlib import Path

from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.dumps import read_metadata
from cosy_jax.synthesis.synthesizer import Synthesizer


def is_exact(synthesizer: Synthesizer, path: Path) -> bool:
    """Whether language model and flow are float32 in our run and in the recorded one."""
    return synthesizer.precision == FLOAT32 and read_metadata(path).get("dtype", "float32") == "float32"
