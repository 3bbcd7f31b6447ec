"""CosyVoice 3 text-to-speech as pure functions in JAX.

What most programs need is here; it is imported when it is first named, so that `import cosy_jax` costs nothing.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cosy_jax.engine.engine import Engine as Engine
    from cosy_jax.engine.errors import BusyError as BusyError
    from cosy_jax.engine.limits import Limits as Limits
    from cosy_jax.engine.ticket import Ticket as Ticket
    from cosy_jax.errors import CosyError as CosyError
    from cosy_jax.synthesis.request import Request as Request
    from cosy_jax.synthesis.request import StreamOptions as StreamOptions
    from cosy_jax.synthesis.speech import Speech as Speech
    from cosy_jax.synthesis.synthesizer import Synthesizer as Synthesizer
    from cosy_jax.synthesis.voice import Voice as Voice

    __version__: str

_PLACES = {
    "BusyError": "cosy_jax.engine.errors",
    "CosyError": "cosy_jax.errors",
    "Engine": "cosy_jax.engine.engine",
    "Limits": "cosy_jax.engine.limits",
    "Request": "cosy_jax.synthesis.request",
    "Speech": "cosy_jax.synthesis.speech",
    "StreamOptions": "cosy_jax.synthesis.request",
    "Synthesizer": "cosy_jax.synthesis.synthesizer",
    "Ticket": "cosy_jax.engine.ticket",
    "Voice": "cosy_jax.synthesis.voice",
}

__all__ = [*_PLACES, "__version__"]


def __getattr__(name: str) -> Any:
    from importlib import import_module, metadata

    if name == "__version__":
        return metadata.version("cosy_jax")
    if name not in _PLACES:
        raise AttributeError(f"module 'cosy_jax' has no attribute {name!r}")
    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
