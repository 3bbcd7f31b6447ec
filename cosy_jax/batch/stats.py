"""What a batch run counts while it goes."""

import time
from collections import Counter
from dataclasses import dataclass, field, fields

from cosy_jax.synthesis.stage import Stage

STAGES = (Stage.PROMPT, Stage.LANGUAGE_MODEL, Stage.FLOW, Stage.VOCODER, Stage.WRITE)

_LONGEST_TIMELINE = 2000
_OWN = ("started", "again", "busy", "_blocks")  # fields that are no plain sums


@dataclass
class Stats:
    """Counters of one run. Each field is written by one thread at a time; any thread may read."""

    started: float = field(default_factory=time.perf_counter)
    lines: int = 0  # delivered in this run, failed ones too
    failed: int = 0
    skipped: int = 0  # spoken by an earlier run
    unverified: int = 0  # those of them of which is not known what they were spoken from
    again: Counter[str] = field(default_factory=Counter)  # taken up though an earlier run spoke them, by reason
    segments: int = 0  # begun, of texts that have several; their lines may not be delivered yet
    segments_done: int = 0  # those of them that are rendered, or failed
    audio_seconds: float = 0.0
    tokens: int = 0  # speech tokens of the lines that were spoken
    prompts: int = 0  # voices encoded or loaded
    prompt_hits: int = 0  # lines that found theirs there
    slot_steps: int = 0  # rows that the language model's loop computed
    useful_slot_steps: int = 0  # those of them that drew a token
    flow_frames: int = 0  # mel frames that were asked for, the prompts' too
    flow_padded: int = 0  # computed, padding and all
    vocoder_frames: int = 0
    vocoder_padded: int = 0
    busy: dict[Stage, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))  # wall seconds a stage
    _blocks: list[tuple[float, int, int]] = field(default_factory=list, init=False)  # when, computed, useful

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def utilisation(self) -> float:
        """The share of slot steps that drew a token, 0 where nothing ran."""
        return _share(self.useful_slot_steps, self.slot_steps)

    @property
    def flow_waste(self) -> float:
        """The share of the flow's frames that was padding, 0 where nothing ran."""
        return _waste(self.flow_frames, self.flow_padded)

    @property
    def vocoder_waste(self) -> float:
        """Likewise of the vocoder's."""
        return _waste(self.vocoder_frames, self.vocoder_padded)

    @property
    def timeline(self) -> list[tuple[float, float]]:
        """At most 2000 pairs: seconds since the start, and the utilisation around then."""
        return [(seconds, _share(useful, computed)) for seconds, computed, useful in self._blocks]

    def add(self, other: "Stats") -> None:
        """Counts what another run has counted too; its start and its timeline are its own."""
        for name in (each.name for each in fields(self) if each.name not in _OWN):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.again += other.again
        self.busy = {stage: seconds + other.busy[stage] for stage, seconds in self.busy.items()}

    def add_block(self, computed: int, useful: int) -> None:
        """Counts the slot steps of a block of the language model's loop that has just ended."""
        self.slot_steps += computed
        self.useful_slot_steps += useful
        self._blocks.append((self.elapsed, computed, useful))
        if len(self._blocks) > _LONGEST_TIMELINE:
            self._blocks = _halved(self._blocks)


def _halved(blocks: list[tuple[float, int, int]]) -> list[tuple[float, int, int]]:
    """Neighbours as one, at the time of the later one."""
    last = blocks[len(blocks) // 2 * 2 :]
    pairs = zip(blocks[::2], blocks[1::2], strict=False)
    return [(late[0], early[1] + late[1], early[2] + late[2]) for early, late in pairs] + last


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _waste(useful: int, computed: int) -> float:
    return 1 - useful / computed if computed else 0.0
