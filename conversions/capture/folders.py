"""The folders a capture reads."""

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from .errors import CaptureError

RECIPE = "cosyvoice3.yaml"
PRETRAINED = "CosyVoice-BlankEN"


class Folders(NamedTuple):
    """The reference's checkout, the Matcha-TTS package it borrows from, and the released model folder."""

    reference: Path
    matcha: Path
    model: Path


def check_folders(reference: Path, matcha: Path | None, model: Path, stems: Iterable[str]) -> Folders:
    """CaptureError names the first folder that is not what it should be; `stems` are the weights that are wanted."""
    matcha = matcha or reference / "third_party" / "Matcha-TTS"
    if not (reference / "cosyvoice").is_dir():
        raise CaptureError(f"{reference} holds no package 'cosyvoice': --reference wants a checkout of CosyVoice.")
    if not (matcha / "matcha").is_dir():
        raise CaptureError(f"{matcha} holds no package 'matcha': fetch the checkout's submodule, or give --matcha.")
    for name in (RECIPE, f"{PRETRAINED}/config.json"):
        if not (model / name).is_file():
            raise CaptureError(f"{model} holds no {name}: --model wants the released CosyVoice 3 folder.")
    for stem in stems:
        find_weights(model, stem)
    return Folders(reference.resolve(), matcha.resolve(), model.resolve())


def find_weights(model: Path, stem: str) -> Path:
    """The weights of a stage, .pt as released before .safetensors; CaptureError where there are none."""
    for path in (model / f"{stem}.pt", model / f"{stem}.safetensors"):
        if path.is_file():
            return path
    raise CaptureError(f"{model} holds neither {stem}.pt nor {stem}.safetensors.")


def commit_of(checkout: Path) -> str:
    """The commit that is checked out, or "unknown" where git cannot tell."""
    command = ["git", "-C", str(checkout), "rev-parse", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
