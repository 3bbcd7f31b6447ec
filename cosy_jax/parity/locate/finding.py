"""What a diagnosis consists of."""

from typing import NamedTuple


class Finding(NamedTuple):
    """Something that is wrong: in which stage, where (the reference's module path, or words such as "guidance"), one
    sentence with figures, and the likely cause, "" where the figures do not tell."""

    stage: str
    place: str
    what: str
    likely: str
