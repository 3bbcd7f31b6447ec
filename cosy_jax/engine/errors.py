"""What an engine answers instead of speaking."""

from cosy_jax.errors import CosyError


class BusyError(CosyError):
    """The queue is full. `seconds`: when to ask again, by the pace of late."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"All streams and places in the queue are taken: ask again in {seconds:.0f} s.")
        self.seconds = seconds


class CancelledError(CosyError):
    """The request was cancelled, or the engine was closed before it was spoken."""
