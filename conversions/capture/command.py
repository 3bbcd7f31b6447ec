"""The command: options in, dumps out, and one sentence where it cannot be done."""

import logging
import sys
from collections.abc import Sequence

from .errors import CaptureError
from .folders import check_folders
from .options import parse
from .packages import NEEDED, missing


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
        from .run import capture

        capture(options, folders)
    except CaptureError as error:
        log.error("error: %s", error)
        return 2
    finally:
        log.removeHandler(handler)
    return 0
