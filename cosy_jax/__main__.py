"""`python -m cosy_jax` is the command `cosy-jax`."""

import sys

from cosy_jax.cli import main

if __name__ == "__main__":
    sys.exit(main())
