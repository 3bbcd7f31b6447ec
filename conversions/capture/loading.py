"""Builds the reference's modules from the model folder, with its own loader and in its own order."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import safetensors.torch
import torch
import transformers
from transformers import AutoConfig, Qwen2ForCausalLM

from .errors import CaptureError
from .folders import PRETRAINED, RECIPE, Folders, find_weights
from .packages import install_stand_ins
from .recipe import prune

_log = logging.getLogger("capture")


def prepare(folders: Folders) -> None:
    """Makes the reference importable, keeps it quiet, and lets torch use all cores and no TF32."""
    sys.path[:0] = [str(folders.reference), str(folders.matcha)]
    install_stand_ins()
    logging.getLogger().addHandler(logging.NullHandler())  # else the reference logs everything
    warnings.simplefilter("ignore")
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(os.cpu_count() or 1)
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    _warn_of_versions(folders.reference / "requirements.txt")


def _warn_of_versions(requirements: Path) -> None:
    """One line where transformers is not the version the reference asks for: others garble its speech."""
    lines = requirements.read_text().splitlines() if requirements.is_file() else []
    wanted = next((line.partition("==")[2].strip() for line in lines if line.startswith("transformers==")), "")
    if wanted and wanted != transformers.__version__:
        _log.warning("transformers is %s here; the reference asks for %s", transformers.__version__, wanted)


def build(model: Path, *wanted: str) -> dict[str, Any]:
    """The entries of cosyvoice3.yaml named, built as the reference builds them; weights are not loaded yet."""
    from hyperpyyaml import load_hyperpyyaml

    text = prune((model / RECIPE).read_text(encoding="utf-8"), wanted)
    with _random_backbone():
        return load_hyperpyyaml(text, overrides={"qwen_pretrain_path": str(model / PRETRAINED)})


def load_llm(model: Path, stem: str) -> torch.nn.Module:
    """The language model with the weights of `stem`."""
    return _load(build(model, "llm")["llm"], find_weights(model, stem))


def load_flow(model: Path) -> torch.nn.Module:
    """The flow with its weights; its noise is the reference's."""
    return _load(build(model, "flow")["flow"], find_weights(model, "flow"))


def load_flow_and_vocoder(model: Path) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Both, built one after the other: the vocoder's noises are drawn from the generator that the flow seeds."""
    built = build(model, "flow", "hift")
    flow, hift = _load(built["flow"], find_weights(model, "flow")), find_weights(model, "hift")
    return flow, _load(built["hift"], hift)


def load_vocoder(model: Path) -> torch.nn.Module:
    """The vocoder; the flow is built before it for the generator's sake, and dropped."""
    return _load(build(model, "flow", "hift")["hift"], find_weights(model, "hift"))


@contextmanager
def _random_backbone() -> Iterator[None]:
    """Qwen2 is built from its config.json: all its weights come from the stage's own file, the folder may hold none."""

    def from_config(folder: str) -> torch.nn.Module:
        return Qwen2ForCausalLM(AutoConfig.from_pretrained(folder))

    with mock.patch.object(Qwen2ForCausalLM, "from_pretrained", from_config):
        yield


def _load(module: torch.nn.Module, path: Path) -> torch.nn.Module:
    try:
        module.load_state_dict(_read(path), strict=True)
    except RuntimeError as error:
        raise CaptureError(f"{path} does not fit {RECIPE}: {' '.join(str(error).split())[:300]}.") from error
    return module.eval()


def _read(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a file by name; `epoch` and `step` beside them are dropped, and the vocoder's prefix."""
    if path.suffix == ".safetensors":
        state = safetensors.torch.load_file(path)
    else:
        state = torch.load(path, map_location="cpu", weights_only=True)
    return {name.replace("generator.", ""): value for name, value in state.items() if torch.is_tensor(value)}
