"""What an engine counts, as plain values for any exporter. Only the engine's own thread writes."""

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 30.0, 60.0, 120.0)


@dataclass
class Histogram:
    """Values counted by upper bounds; the last count is of those beyond all of them."""

    bounds: Sequence[float] = SECONDS
    counts: list[int] = field(default_factory=list)
    total: float = 0.0

    def __post_init__(self) -> None:
        self.counts = self.counts or [0] * (len(self.bounds) + 1)

    @property
    def count(self) -> int:
        """How many values there were."""
        return sum(self.counts)

    def add(self, value: float) -> None:
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


@dataclass
class Meters:
    """Counters grow, gauges are of now, and histograms are in seconds."""

    # Counters
    requests: int = 0
    finished: int = 0
    failed: int = 0
    cancelled: int = 0
    refused: int = 0
    pieces: int = 0
    late_pieces: int = 0  # given when the listener had already heard all there was
    batches: int = 0
    batch_rows: int = 0  # pieces with the idle rows beside them
    drawn_ids: int = 0
    decode_steps: int = 0
    audio_seconds: float = 0.0
    voices_computed: int = 0
    voices_reused: int = 0
    voices_forgotten: int = 0
    # Gauges
    queued: int = 0
    active: int = 0
    paused: int = 0  # whose listeners take no more
    decode_rows: int = 0
    free_pages: int = 0
    voices: int = 0
    # Histograms
    first_audio: Histogram = field(default_factory=Histogram)
    whole_request: Histogram = field(default_factory=Histogram)
    waited: Histogram = field(default_factory=Histogram)  # in the queue
    slack: Histogram = field(default_factory=Histogram)  # ahead of the listener, as a piece is given
