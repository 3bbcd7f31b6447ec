"""What the driver of a run on a cluster and its workers tell each other; it travels pickled."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cosy_jax.batch.entries import Outcome
from cosy_jax.batch.manifest import Line
from cosy_jax.batch.stats import Stats
from cosy_jax.cluster.storage import Storage

_GPU_SHARE = 0.9  # of the memory that a worker's fraction of a GPU has: the rest is for what JAX does not count


@dataclass(frozen=True)
class Job:
    """The same for all workers of a run: what speaks, and where to."""

    weights: str
    llm: str
    adapter: str | None
    voices: str | None
    dtype: str
    cache: str  # of compiled programs, or "off"
    verbose: bool
    slots: int | None
    flow_rows: int | None
    model_parallel: int
    storage: Storage
    layout: str  # of `layout.LAYOUTS`
    form: str  # of `record.FORMS`
    run: int


@dataclass(frozen=True)
class Block:
    """Lines that one worker speaks at a time. What comes of them depends on nothing else."""

    number: int
    lines: tuple[Line, ...]


@dataclass
class Report:
    """What came of a block."""

    stats: Stats = field(default_factory=Stats)
    failures: list[Outcome] = field(default_factory=list)  # the first of them
    compiled: tuple[int, int, float] = (0, 0, 0.0)  # programs, of these cached, seconds
    error: str = ""  # why no more blocks are to be spoken


@dataclass(frozen=True)
class Workers:
    """How many workers there are, and what each has to itself."""

    most: int | None  # None: as many as find room, also on nodes that join later
    cpus: float
    gpus: float
    tpus: int
    model_parallel: int = 1

    @property
    def device(self) -> str:
        """What they compute on, as `nn.compile_cache.DEVICES` has it."""
        return "gpu" if self.gpus else "tpu" if self.tpus else "cpu"

    @property
    def resources(self) -> dict[str, float]:
        """As the nodes of the cluster count them."""
        asked = {"CPU": self.cpus, "GPU": self.gpus, "TPU": float(self.tpus)}
        return {name: count for name, count in asked.items() if count}

    def environment(self) -> dict[str, str]:
        """Of their processes, where it has to be before JAX is imported."""
        # Ray hides no GPU from who asks for none, and JAX would take three quarters of its memory.
        found = {"JAX_PLATFORMS": {"cpu": "cpu", "gpu": "cuda,cpu", "tpu": "tpu,cpu"}[self.device]}
        if self.device == "cpu":
            found["NPROC"] = str(max(1, int(self.cpus)))  # of XLA's threads, else as many as the machine has cores
        if 0 < self.gpus < 1:
            found["XLA_PYTHON_CLIENT_MEM_FRACTION"] = f"{_GPU_SHARE * self.gpus:.3f}"
        return found

    def fitting(self, nodes: Sequence[Mapping[str, float]]) -> int:
        """How many find room on nodes with these resources."""
        return sum(min(int(node.get(name, 0) / count) for name, count in self.resources.items()) for node in nodes)
