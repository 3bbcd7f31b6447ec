"""The error that is told in one sentence."""


class CaptureError(Exception):
    """Something the user can mend; the message is one sentence with the remedy."""
