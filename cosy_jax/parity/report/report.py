"""All that one run of parity found, and the same as JSON."""

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

from cosy_jax.parity.check import Check
from cosy_jax.parity.dumps import read_metadata
from cosy_jax.parity.locate.diagnosis import Diagnosis, diagnose
from cosy_jax.parity.report.ids import IdDifference, first_differences
from cosy_jax.parity.run import LLM_DUMPS, not_covered
from cosy_jax.synthesis.synthesizer import Synthesizer

Results = list[tuple[str, list[Check]]]  # by dump, in the order of the data's way through the model


@dataclass(frozen=True)
class Explanation:
    """Why checks are missed: layers, steps and findings, and by dump the ids that differ first.

    `remarks` are sentences on what could not be looked at.
    """

    diagnosis: Diagnosis
    differences: dict[str, list[IdDifference]]
    remarks: list[str]


@dataclass(frozen=True)
class Report:
    """`ours` says what was compared, `dumps` the metadata of each dump but its note; `explanation` is None where there
    was nothing to explain and nobody asked."""

    results: Results
    not_covered: list[str]
    ours: dict[str, str]
    dumps: dict[str, dict[str, str]]
    explanation: Explanation | None

    @property
    def checks(self) -> list[Check]:
        """The checks of all dumps."""
        return [check for _, checks in self.results for check in checks]

    @property
    def missed(self) -> int:
        """How many checks did not hold."""
        return sum(not check.ok for check in self.checks)


def explain(synthesizer: Synthesizer, dumps: Path, on_part: Callable[[str], None]) -> Explanation:
    """Looks for the place where our numbers leave the reference's; `on_part` is called with what is looked at."""
    on_part("layers and steps")
    diagnosis = diagnose(synthesizer, dumps)
    on_part("first ids")
    paths = [path for pattern in LLM_DUMPS for path in sorted(dumps.glob(pattern))]
    differences = {path.stem: found for path in paths if (found := first_differences(synthesizer, path))}
    return Explanation(diagnosis, differences, list(_remarks(diagnosis, dumps)))


def _remarks(diagnosis: Diagnosis, dumps: Path) -> list[str]:
    capture = "capture them with conversions/capture_reference.py"
    absent = {"layer traces": not any(diagnosis.layers.values()), "Euler steps": not any(diagnosis.steps.values())}
    return [f"no {what} in {dumps}: {capture}" for what, lacking in absent.items() if lacking]


def our_setup(synthesizer: Synthesizer, dtype: str) -> dict[str, str]:
    """What was compared with the dumps, and on what."""
    return {
        "weights": f"{synthesizer.weights}, language model {synthesizer.llm}",
        "cosy_jax": version("cosy_jax"),
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "dtype": dtype,
    }


def read_provenance(dumps: Path) -> dict[str, dict[str, str]]:
    """The metadata, but the note, of each dump that is read: versions, device and format of the reference's run."""
    found = {}
    strays = not_covered(dumps)
    for path in sorted(dumps.glob("*.safetensors")):
        if path.name not in strays:
            found[path.stem] = {key: value for key, value in read_metadata(path).items() if key != "note"}
    return found


def to_json(report: Report) -> str:
    """{"ok", "checks": [{"dump", ...}], "not_covered"}, and of what was explained "findings", "layers", "steps" and
    "id_differences" by dump, and "remarks". A figure that is no finite number is null: JSON has no word for it."""
    rows = [{"dump": dump, **dataclasses.asdict(check)} for dump, checks in report.results for check in checks]
    whole: dict[str, Any] = {"ok": report.missed == 0, "checks": rows, "not_covered": report.not_covered}
    if report.explanation:
        diagnosis = report.explanation.diagnosis
        whole |= {
            "findings": [finding._asdict() for finding in diagnosis.findings],
            "layers": _by_dump(diagnosis.layers),
            "steps": _by_dump(diagnosis.steps),
            "id_differences": _by_dump(report.explanation.differences),
            "remarks": report.explanation.remarks,
        }
    return json.dumps(_finite(whole), indent=1, allow_nan=False)


def _by_dump(found: dict[str, list]) -> dict[str, list[dict[str, Any]]]:
    return {dump: [row._asdict() for row in rows] for dump, rows in found.items()}


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
