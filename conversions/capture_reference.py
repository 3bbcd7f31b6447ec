"""Runs the PyTorch reference, in its own environment, and writes dumps that `cosy-jax parity` reads.

    python conversions/capture_reference.py --reference CosyVoice --model Fun-CosyVoice3-0.5B --out dumps

See --help. Needs the reference's environment and nothing of cosy_jax.
"""

import sys
from importlib import import_module
from pathlib import Path

if __package__:
    from .capture.command import main
else:  # run as a script: the folder may be a copy of any name, and its modules are not to hide the reference's
    _folder = Path(__file__).resolve().parent
    sys.path[0] = str(_folder.parent)
    main = import_module(f"{_folder.name}.capture.command").main

if __name__ == "__main__":
    sys.exit(main())
