"""Runs the PyTorch reference, in its own environment, and writes dumps that `cosy-jax parity` reads.

    python conversions/capture_reference.py --reference CosyVoice --model Fun-CosyVoice3-0.5B --out dumps

See --help. Needs the reference's environment and nothing of cosy_jax.
"""

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

if __package__ in (None, ""):  # run as a script: its own folder stands first on the path, the repository nowhere
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from conversions.capture.errors import CaptureError
from conversions.capture.folders import check_folders
from conversions.capture.options import parse
from conversions.capture.packages import NEEDED, missing


def main(arguments: Sequence[str] | None = None) -> int:
    """0, or 2 after one sentence on stderr that says what is wrong."""
    log = logging.getLogger("capture")
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        options = parse(arguments)
        folders = check_folders(options.reference, options.matcha, options.model, options.weights)
        if absent := missing(NEEDED):
            raise CaptureError(f"{sys.executable} lacks {', '.join(absent)}: run this in the reference's environment.")
        from conversions.capture.run import capture

        capture(options, folders)
    except CaptureError as error:
        log.error("error: %s", error)
        return 2
    finally:
        log.removeHandler(handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
