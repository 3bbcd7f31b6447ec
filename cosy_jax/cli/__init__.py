"""The command `cosy-jax`: one file a subcommand."""

from cosy_jax.cli.main import main

__all__ = ["main"]
