"""The command `cosy-jax`: one file a subcommand."""

from cosy_jax.cli.signals import exit_at_once, handled


def main(argv: list[str] | None = None) -> int:
    """Runs the command and gives its exit status (`command_line.run`); without `argv` the process's own, which is to
    end with it."""
    with handled(exit_at_once, for_good=argv is None):
        # Here and not above: it takes a tenth of a second, in which Ctrl-C is to be as quiet as later.
        from cosy_jax.cli.command_line import run

        return run(argv)


__all__ = ["main"]
