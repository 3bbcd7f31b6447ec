"""The one exception that means "the input is at fault", as opposed to a bug of ours."""

from collections.abc import Callable


class CosyError(Exception):
    """Bad user input: the message is one sentence that names the thing and the remedy.

    `fields` are the fields of a `Request`, or the parameters, that are at fault, where it is they. The command line
    prints the message without a traceback and exits with status 2.
    """

    def __init__(self, message: str, *fields: str) -> None:
        super().__init__(message)
        self.fields = fields

    def naming(self, name: Callable[[str], str]) -> str:
        """The sentence behind the names that a front end has for the fields at fault."""
        return f"{' or '.join(map(name, self.fields))}: {self}" if self.fields else str(self)
