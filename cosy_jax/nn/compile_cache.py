"""The device, where compiled programs are kept from one run to the next, and how much JAX and XLA log."""

import logging
import os
import tempfile
import warnings
from pathlib import Path

from cosy_jax.errors import CosyError
from cosy_jax.files import home

OFF = "off"  # in any case
# The CPU too: some tables are computed there whatever the device.
_PLATFORMS = {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}
DEVICES = tuple(_PLATFORMS)


class CacheWarning(UserWarning):
    """Compiled programs cannot be kept."""


def default_cache() -> str:
    """What COSY_JAX_CACHE says, a folder or "off", or else ~/.cache/cosy_jax; "off" where there is no home."""
    folder = home()
    return os.environ.get("COSY_JAX_CACHE") or (str(folder / ".cache" / "cosy_jax") if folder else OFF)


def start_jax(cache: str, verbose: bool = False, device: str | None = None, whole: bool = False) -> None:
    """Computes on a `device` of `DEVICES`, None for the best there is, and keeps compiled programs in the folder
    `cache`, or nowhere where it is "off"; quiet unless `verbose`.

    `whole`: the large ones also whole, for what computes in one thread alone. To compile one of them JAX's cache is
    switched off, in all threads.

    Call it before the first computation. CosyError where there is no such device; `CacheWarning` where the folder
    cannot be written, and nothing is kept.
    """
    if not verbose:
        # XLA reads this when its library is loaded, which is why jax is imported here and not above.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        logging.getLogger("jax").setLevel(logging.ERROR)
    if device is not None:
        os.environ["JAX_PLATFORMS"] = _PLATFORMS[device]
    import jax

    _check_device(device, os.environ.get("JAX_PLATFORMS", ""))
    if cache.lower() != OFF and _can_keep(Path(cache)):
        jax.config.update("jax_compilation_cache_dir", cache)
        # The smallest programs too: a second run is to compile nothing at all.
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
        if whole:
            _keep_programs(Path(cache))


def _keep_programs(folder: Path) -> None:
    """Has the large ones stored whole, so that a second run does not even trace them."""
    from cosy_jax.nn import stored  # jax, not above

    stored.keep_in(folder)


def _check_device(device: str | None, platforms: str) -> None:
    from cosy_jax.nn import backend  # jax, not above

    try:
        found = backend.host_platform()
    except (RuntimeError, AssertionError) as error:  # the latter where CUDA is asked for and finds no GPU
        wanted = device or f"device of JAX_PLATFORMS={platforms}"
        raise CosyError(f"JAX finds no {wanted} on this machine: name another one, or none.") from error
    if device not in (None, found):
        raise CosyError(
            f"JAX finds no {device} on this machine, but a {found}: leave --device out, or install what the {device} "
            "needs (README, Install)."
        )


def _can_keep(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError as error:
        warnings.warn(f"Compiled programs cannot be kept in {folder}: {error.strerror}.", CacheWarning, stacklevel=3)
        return False
