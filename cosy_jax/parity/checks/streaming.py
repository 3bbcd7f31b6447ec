"""Streaming against the reference's chunks, and cached streaming against one chunk-masked pass."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.compare.snr import snr_db
from cosy_jax.flow.cfm import solve
from cosy_jax.nn.precision import FLOAT64
from cosy_jax.parity.check import Check, snr_at_least, within
from cosy_jax.parity.checks.flow import flow_inputs
from cosy_jax.parity.dumps import read_dump
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.streaming import SolvePiece, cached_solver, exact_solver, stream_audio
from cosy_jax.synthesis.synthesizer import Synthesizer

_AUDIO_LIMIT = 60.0
_MEL_LIMIT = 1e-4


def check_streaming(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Every recorded chunk by the exact solver, and the pieces of the cached one joined."""
    dump = read_dump(path, synthesizer.config)
    prompt = Prompt(dump["prompt_token"][0], dump["prompt_feat"][0], dump["embedding"][0])
    tokens = dump["speech_token"][0].tolist()
    arguments = (synthesizer.params("flow"), prompt, synthesizer.config.flow, synthesizer.precision)

    def stream(solver: SolvePiece) -> list[np.ndarray]:
        return list(stream_audio([tokens], prompt, solver, synthesizer.params("vocoder"), synthesizer.config))

    chunks = [dump[f"chunk_{i}"] for i in range(sum(name.startswith("chunk_") for name in dump))]
    exact = stream(exact_solver(*arguments))
    checks = [Check("exact: chunks", "equal", len(exact) == len(chunks), note=f"{len(exact)} of {len(chunks)}")]
    truth = stream(_float64_solver(synthesizer, prompt))
    for index, (ours, theirs, true) in enumerate(zip(exact, chunks, truth, strict=False)):
        checks.append(_check_chunk(f"exact: chunk {index}", ours, theirs[0], true))

    mels: list[np.ndarray] = []
    solve_piece = cached_solver(*arguments)

    def recorded(tokens: np.ndarray, until: int, last: bool) -> np.ndarray:
        mels.append(solve_piece(tokens, until, last))
        return mels[-1]

    audio = np.concatenate(stream(recorded))
    mel, whole = _one_pass(synthesizer, dump)
    return [
        *checks,
        within("cached: mel against one masked pass", np.concatenate(mels), mel, _MEL_LIMIT),
        snr_at_least("cached: audio against one masked pass", audio, whole, _AUDIO_LIMIT),
    ]


def _check_chunk(name: str, ours: np.ndarray, theirs: np.ndarray, truth: np.ndarray) -> Check:
    """SNR of 60 dB against the dump; where the dump's own error is larger, at least nearer to float64 than the dump.

    The reference sums the phase in float32: a few seconds on, its rounding alone costs more than 60 dB.
    """
    check = snr_at_least(name, ours, theirs, _AUDIO_LIMIT)
    own, dumped = snr_db(ours, truth), snr_db(theirs, truth)
    note = f"against float64: ours {own:.1f} dB, dump {dumped:.1f} dB"
    ok = check.ok or (dumped < _AUDIO_LIMIT and own > dumped)
    return replace(check, limit=f"SNR {_AUDIO_LIMIT:g} dB or the dump's", ok=ok, note=note)


def _float64_solver(synthesizer: Synthesizer, prompt: Prompt) -> SolvePiece:
    """The exact solver with every product and sum of the flow in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(lambda x: jnp.asarray(np.asarray(x, np.float64)), synthesizer.params("flow"))
    solver = exact_solver(params, prompt, synthesizer.config.flow, FLOAT64)

    def piece(tokens: np.ndarray, until: int, last: bool) -> np.ndarray:
        with jax.enable_x64(True):
            return solver(tokens, until, last)

    return piece


def _one_pass(synthesizer: Synthesizer, dump: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    config = synthesizer.config.flow
    inputs = flow_inputs(dump, config)
    mel, _, _ = solve(
        synthesizer.params("flow"), inputs, config=config, precision=synthesizer.precision, streaming=True
    )
    new = np.asarray(mel[0])[dump["prompt_feat"].shape[1] :]
    return new, synthesizer.vocode(new)
