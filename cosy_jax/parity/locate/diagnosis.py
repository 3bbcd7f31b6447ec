"""Where our run leaves the reference's, looked for in the order of the data's way through the model."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import starmap
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cosy_jax.parity.checks.flow import FlowRun, run_flow
from cosy_jax.parity.checks.llm import CachedDecoder, recorded_row
from cosy_jax.parity.checks.vocoder import vocode_dump
from cosy_jax.parity.dumps import read_dump, read_metadata
from cosy_jax.parity.locate import flow_faults
from cosy_jax.parity.locate.causes import Suspect, likely_cause
from cosy_jax.parity.locate.finding import Finding
from cosy_jax.parity.locate.growth import Growth, describe, recorded_rounding, rounding_of
from cosy_jax.parity.locate.passes import STAGES
from cosy_jax.parity.locate.steps import StepError, step_errors
from cosy_jax.parity.locate.trace import LayerError, error_of, trace_layers
from cosy_jax.synthesis.synthesizer import Synthesizer

_STAGES = _LLM, _FLOW, _VOCODER = tuple(stage.name for stage in STAGES.values())
# Layers that make the flow's condition: where one of them is off, so is the condition.
_OF_CONDITION = ("input_embedding", "pre_lookahead_layer", "spk_embed_affine_layer")
_NETWORK = "conv_pre"  # where the vocoder's network begins, after F0 and source
_VOCODER_DUMPS = ("hift_offline.safetensors", "hift_chunk.safetensors")


class Diagnosis(NamedTuple):
    """Errors of layers and of Euler steps by dump, and what is wrong, in the data's order: the first finding is the
    first thing to look at, and without one all is in order."""

    layers: dict[str, list[LayerError]]
    steps: dict[str, list[StepError]]
    findings: list[Finding]


def diagnose(synthesizer: Synthesizer, dumps: Path) -> Diagnosis:
    """Compares layers, steps and outputs of language model, flow and vocoder with those of a folder of dumps.

    Of a chain of values only the first that is off is a finding. CosyError where a trace lacks the dump it was made
    from, or is of another model.
    """
    paths = [path for name in STAGES for path in sorted(dumps.glob(f"{name}*.safetensors"))]
    layers = {path: trace_layers(synthesizer, path) for path in paths}
    traced = [finding for path in paths for finding in _layer_findings(synthesizer, path, layers[path])]
    llm, flow, vocoder = ([finding for finding in traced if finding.stage == stage] for stage in _STAGES)
    runs = [run_flow(synthesizer, path) for path in sorted(dumps.glob("flow_*.safetensors"))]

    findings = [
        *(llm or _decoding_findings(synthesizer, dumps, layers)),
        *_flow_findings(synthesizer, runs, flow),
        *(vocoder or _vocoder_findings(synthesizer, dumps)),
    ]
    steps = {run.path.stem: step_errors(run) for run in runs if "step_x" in run.dump}
    return Diagnosis({path.stem: rows for path, rows in layers.items()}, steps, findings)


def _growth(synthesizer: Synthesizer, stage: str, path: Path) -> Growth:
    return Growth(rounding_of(stage, synthesizer.precision), recorded_rounding(read_metadata(path)))


def _layer_findings(synthesizer: Synthesizer, path: Path, layers: list[LayerError]) -> Iterator[Finding]:
    """The first layer of each chain that is off."""
    growth = _growth(synthesizer, layers[0].stage, path)
    by_name = {layer.name: layer for layer in layers}
    for chain in _chains(layers):
        index = growth.first_beyond(chain)
        if index is not None:
            stage, name, *_ = chain[index]
            suspect = Suspect(synthesizer, path, layers, by_name[name], growth.limits(chain)[index])
            yield Finding(stage, name, describe(chain, index), likely_cause(suspect))


def _chains(layers: list[LayerError]) -> list[list[LayerError]]:
    """Layers that inherit each other's errors. The vocoder's network is given the reference's exact source: what its
    own run got of that, it got from its own source, and does not count."""
    names = [layer.name for layer in layers]
    if _NETWORK not in names:
        return [layers]
    start = names.index(_NETWORK)
    return [layers[:start], [layer._replace(reference=None) for layer in layers[start:]]]


def _flow_findings(synthesizer: Synthesizer, runs: list[FlowRun], traced: list[Finding]) -> list[Finding]:
    """What does not follow from each other; without any of it, the first value that is off."""
    growths = [_growth(synthesizer, _FLOW, run.path) for run in runs]
    stepped = [(run, growth) for run, growth in zip(runs, growths, strict=True) if "step_x" in run.dump]
    early = [finding for finding in traced if finding.place in _OF_CONDITION]
    findings = [
        *(early or _first(map(flow_faults.condition_fault, runs, growths))),
        *_first(starmap(flow_faults.noise_fault, stepped)),
        *_first(map(flow_faults.time_fault, runs, growths)),
        *(finding for finding in traced if finding not in early),
        *_first(flow_faults.guidance_fault(run) for run, _ in stepped),
    ]
    return findings or _first(map(flow_faults.later_fault, runs, growths))


def _first(faults: Iterable[Finding | None]) -> list[Finding]:
    return [fault for fault in faults if fault][:1]


def _decoding_findings(
    synthesizer: Synthesizer, dumps: Path, layers: Mapping[Path, list[LayerError]]
) -> Iterator[Finding]:
    """The language model as it decodes, id by id with its cache."""
    path = dumps / "llm.safetensors"
    if not path.is_file():
        return
    dump, config = read_dump(path, synthesizer.config), synthesizer.config.llm
    decoder = CachedDecoder(synthesizer, *recorded_row(dump, config), len(dump["greedy_tokens"]))
    logits = []
    for token in dump["greedy_tokens"]:
        logits.append(np.asarray(decoder.logits[0]))
        decoder.push(int(token))
    whole_row = layers.get(dumps / "trace_llm.safetensors", [])
    theirs, truth = dump["greedy_logits"], dump.get("greedy_logits_f64")
    chain = [*whole_row, error_of(_LLM, "greedy_logits", np.stack(logits), theirs, truth)]
    index = _growth(synthesizer, _LLM, path).first_beyond(chain)
    if index is not None:
        likely = "the key/value cache or the positions: in one pass over the whole row all agrees" if whole_row else ""
        yield Finding(_LLM, chain[index].name, describe(chain, index), likely)


def _vocoder_findings(synthesizer: Synthesizer, dumps: Path) -> Iterator[Finding]:
    """F0, source and audio: the first of them that is off."""
    for path in filter(Path.is_file, (dumps / name for name in _VOCODER_DUMPS)):
        dump = read_dump(path, synthesizer.config)
        samples, audio = vocode_dump(synthesizer, path, dump)
        ours = {"f0": np.asarray(audio.f0), "source": np.asarray(audio.source)[:, None], "audio": samples}
        chain = list(_compared(ours, dump))
        index = _growth(synthesizer, _VOCODER, path).first_beyond(chain)
        if index is not None:
            yield Finding(_VOCODER, chain[index].name, f"{path.stem}: {describe(chain, index)}", "")
            return


def _compared(ours: Mapping[str, np.ndarray], dump: Mapping[str, np.ndarray]) -> Iterator[LayerError]:
    """Those values that the dump has, beyond whose ends ours may be padded."""
    for name, value in ours.items():
        truth = dump.get(f"{name}_f64")
        theirs = dump.get(name, truth)
        if theirs is not None:
            yield error_of(_VOCODER, name, value[..., : theirs.shape[-1]], theirs, truth if name in dump else None)
