"""One training batch of each stage: losses, gradients, and what three steps of the optimiser make of the parameters."""

import logging

from ..options import Options
from ..packages import missing
from ..stage import run_stage
from ..writing import Writer
from .flow import capture_flow_training
from .llm import capture_llm_training
from .vocoder import capture_training_vocoder

_log = logging.getLogger("capture")


def capture_training(options: Options, writer: Writer) -> None:
    """Writes training_llm_*, training_flow_* and training_vocoder, of the stages that are asked for, in float32 and
    float64 whatever the options say; the last takes librosa, and is left out without it."""
    if "llm" in options.stages:
        run_stage("llm", lambda device: capture_llm_training(options, writer, device), options.device)
    if "flow" in options.stages:
        run_stage("flow", lambda device: capture_flow_training(options, writer, device), options.device)
    if "hift" not in options.stages:
        return
    if missing(["librosa"]):
        _log.warning("training of the vocoder is left out: its mel takes librosa, which is not installed")
        return
    run_stage("hift", lambda device: capture_training_vocoder(options, writer, device), "cpu")
