"""One training batch of each stage: losses, gradients, and the parameters after three steps."""

import logging

from .options import Options
from .packages import missing
from .stage import run_stage
from .training_vocoder import capture_training_vocoder
from .writing import Writer

_log = logging.getLogger("capture")


def capture_training(options: Options, writer: Writer) -> None:
    """Writes training_vocoder, which takes librosa, and is left out without it."""
    if missing(["librosa"]):
        _log.warning("training of the vocoder is left out: its mel takes librosa, which is not installed")
        return
    run_stage("training of the vocoder", lambda device: capture_training_vocoder(options, writer, device), "cpu")
