"""Where compiled programs are kept from one run to the next, and how much JAX and XLA log."""

import logging
import os
from pathlib import Path

OFF = "off"


def default_cache() -> str:
    """What COSY_JAX_CACHE says, a folder or "off", or else ~/.cache/cosy_jax."""
    return os.environ.get("COSY_JAX_CACHE", str(Path.home() / ".cache" / "cosy_jax"))


def start_jax(cache: str, verbose: bool = False) -> None:
    """Keeps compiled programs in the folder `cache`, or nowhere where it is "off"; quiet unless `verbose`.

    Call it before the first computation.
    """
    if not verbose:
        # XLA reads this when its library is loaded, which is why jax is imported here and not above.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("jax").setLevel(logging.ERROR)
    import jax

    if cache != OFF:
        jax.config.update("jax_compilation_cache_dir", cache)
        # The smallest programs too: a second run is to compile nothing at all.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
