"""A model's parameters, each stage read when it is first asked for."""

import threading
from collections import defaultdict
from pathlib import Path

from cosy_jax.checkpoint.adapter import Adapter
from cosy_jax.checkpoint.prepare import prepare
from cosy_jax.checkpoint.reader import load_params, read_header, stage_path
from cosy_jax.checkpoint.stages import check_layers, expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.nn.devices import Devices
from cosy_jax.nn.memory import trim
from cosy_jax.nn.precision import FLOAT32, Precision

# A changed bit in the prompt's tokens or in F0 is heard; only the two large networks may be rounded.
_ROUNDED = ("llm", "flow")


class Parameters:
    """The stages of a converted folder by name; "llm" is the language model that was chosen.

    For any number of threads: a stage is read once, by the first that asks, while the others wait.
    """

    def __init__(
        self,
        folder: Path,
        config: ModelConfig,
        llm: str,
        precision: Precision,
        devices: Devices,
        adapter: Adapter | None = None,
        as_stored: bool = False,
    ) -> None:
        """`as_stored`: by the modules' own names on every platform."""
        self._as_stored = as_stored
        self._folder, self._config, self._llm, self._adapter = folder, config, llm, adapter
        self._precision, self._devices = precision, devices
        self._loaded: dict[str, dict] = {}
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
        self._lock = threading.Lock()

    def __getitem__(self, stage: str) -> dict:
        """Nested dicts of device arrays; CosyError where the file does not fit."""
        with self._lock:
            lock = self._locks[stage]
        with lock:
            if stage not in self._loaded:
                self._loaded[stage] = self._read(stage)
                trim()
            return self._loaded[stage]

    def replace(self, stage: str, params: dict) -> None:
        """Take these for the stage's parameters from now on."""
        self._loaded[stage] = self._placed(stage, params)

    def release(self, *stages: str) -> None:
        """Forget these stages; they are read again when needed."""
        for stage in stages:
            self._loaded.pop(stage, None)
        trim()

    def _read(self, stage: str) -> dict:
        name = self._llm if stage == "llm" else stage
        precision = self._precision if stage in _ROUNDED else FLOAT32
        path = stage_path(self._folder, name)
        check_layers(name, path, read_header(path), self._config)
        expected = expected_shapes(name, self._config)
        if self._adapter is not None and self._adapter.stage == stage:
            params = load_params(self._folder, name, precision, expected, self._adapter.change)
        else:
            params = load_params(self._folder, name, precision, expected)
        return self._placed(stage, params)

    def _placed(self, stage: str, params: dict) -> dict:
        if not self._as_stored:
            params = prepare(stage, params, self._config)
        return self._devices.params(params)
