"""The one exception that means "the input is at fault", as opposed to a bug of ours."""


class CosyError(Exception):
    """Bad user input: the message is one sentence that names the thing and the remedy.

    The command line prints it without a traceback and exits with status 2.
    """
