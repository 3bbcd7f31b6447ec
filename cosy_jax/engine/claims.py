"""Memory without deadlock: Dijkstra's banker, with requests served in the order of their age.

A stream takes its pages as it speaks, which are far fewer than the most it could need. A page is given only if then all
streams could still end one after the other, the oldest first, each with all that it might need; so there is always one
that can go on.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """Pages that a request gives back at its end, and the most that it may still ask for."""

    holds: int
    needs: int


def is_safe(free: int, claims: Sequence[Claim]) -> bool:
    """Whether all could end in this order, the oldest first, with `free` pages to begin with."""
    for claim in claims:
        if claim.needs > free:
            return False
        free += claim.holds
    return True
