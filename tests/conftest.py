"""Settings of every test run: the CPU unless another backend is asked for, and compiled programs kept on disk."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # read when jax is imported

# A shell ignores Ctrl-C for what it starts in the background, and all children would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

import jax  # noqa: E402
import pytest  # noqa: E402
from hypothesis import settings  # noqa: E402

from cosy_jax.nn import compile_cache  # noqa: E402
from cosy_jax.synthesis.synthesizer import Synthesizer  # noqa: E402
from tests.reference import REPOSITORY  # noqa: E402

jax.config.update("jax_compilation_cache_dir", str(REPOSITORY / ".pytest_cache" / "xla"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)

settings.register_profile("jit", deadline=None)  # the first example compiles
settings.load_profile("jit")


TINY = REPOSITORY / "tests" / "data" / "tiny"


# XLA maps a program's code into memory in several pieces, of which Linux allows a process 65,530: beyond, it crashes.
_MAPS = Path("/proc/self/maps")
_MANY = 20_000


@pytest.fixture(autouse=True, scope="module")
def bounded_programs():
    """Compiled programs are given up, behind a file of tests, where they have become too many."""
    yield
    if _MAPS.exists() and _MAPS.read_bytes().count(b"\n") > _MANY:
        jax.clear_caches()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Where the PyTorch reference is, for the tests that run it."""
    group = parser.getgroup("reference")
    group.addoption(
        "--reference", metavar="DIR", help="checkout of FunAudioLLM/CosyVoice; without it its tests are skipped"
    )
    group.addoption("--matcha", metavar="DIR", help="checkout of Matcha-TTS (default: the reference's submodule)")
    group.addoption("--reference-python", metavar="PYTHON", help="interpreter with the reference's packages")


@pytest.fixture(scope="session", autouse=True)
def programs_are_traced() -> Iterator[None]:
    """In this process: stored ones are made anew with every change of the source, JAX's own cache knows better."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compile_cache, "_keep_programs", lambda folder: None)
        yield


@pytest.fixture(scope="session")
def synthesizer() -> Synthesizer:
    """The tiny model."""
    return Synthesizer(TINY, llm="base")
