"""What a dump says of the run that it holds."""

from pathlib import Path

from safetensors import safe_open

from cosy_jax.nn.precision import FLOAT32
from cosy_jax.synthesis.synthesizer import Synthesizer


def is_exact(synthesizer: Synthesizer, path: Path) -> bool:
    """Whether language model and flow are float32 in our run and in the recorded one."""
    with safe_open(path, "numpy") as file:
        recorded = (file.metadata() or {}).get("dtype", "float32")
    return synthesizer.precision == FLOAT32 and recorded == "float32"
