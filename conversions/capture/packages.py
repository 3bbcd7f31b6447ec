"""Which packages are installed, and stand-ins for those that the reference imports but does not call."""

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

# Without these no stage can be built.
NEEDED = ("torch", "numpy", "safetensors", "transformers", "hyperpyyaml", "einops", "x_transformers", "scipy")
# What the reference's front end calls.
FRONT_END = ("onnxruntime", "torchaudio", "whisper", "librosa", "inflect")
_UNUSED = frozenset(
    ("conformer", "diffusers", "gdown", "hydra", "librosa", "lightning", "matplotlib", "omegaconf", "onnxruntime")
    + ("rich", "tiktoken", "torchaudio", "wget", "whisper")
)


def missing(names: Iterable[str]) -> list[str]:
    """Those of the packages that are not installed."""
    return [name for name in names if (spec := find_spec(name)) is None or isinstance(spec.loader, _Finder)]


def install_stand_ins() -> None:
    """From now on an import of a package that no stage calls succeeds, installed or not.

    Import what is wanted of transformers first: it looks for optional packages, and would find stand-ins.
    """
    sys.meta_path.append(_Finder())


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Comes last on sys.meta_path, so what is installed goes first."""

    def find_spec(self, name: str, path: object, target: object = None) -> importlib.machinery.ModuleSpec | None:
        package, _, inner = name.partition(".")
        if package not in _UNUSED or (inner and not _holds_modules(package)):
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass  # a stand-in holds nothing


def _holds_modules(package: str) -> bool:
    """Whether parts of a package are stand-ins too: not of one that is installed, nor of omegaconf, all classes."""
    return package != "omegaconf" and isinstance(sys.modules.get(package), _StandIn)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Settings if name == "DictConfig" else MagicMock()


class _Settings(SimpleNamespace):
    """omegaconf.DictConfig as the flow's recipe uses it: attributes from a dict."""

    def __init__(self, content: dict) -> None:
        super().__init__(**content)
