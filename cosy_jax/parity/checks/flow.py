"""The flow against its dumps: condition, every Euler step, final mel."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from cosy_jax.flow.cfm import Condition, FlowInputs, Trace, solve, time_steps
from cosy_jax.nn.noise import flow_noise
from cosy_jax.parity.check import Check, judge, within
from cosy_jax.parity.checks.recorded import is_exact
from cosy_jax.synthesis.synthesizer import Synthesizer

_STEP_LIMIT = 5e-5
_MEL_LIMIT = 1e-5


def flow_inputs(dump: dict[str, np.ndarray], ratio: int, pad: int = 0) -> FlowInputs:
    """The inputs that a flow or end-to-end dump holds, as one row padded by `pad` tokens."""
    new = dump["token"] if "token" in dump else dump["speech_token"]
    tokens = np.concatenate([dump["prompt_token"], new], axis=1).astype(np.int32)
    frames = ratio * (tokens.shape[1] + pad)
    prompt = dump["prompt_feat"]
    return FlowInputs(
        tokens=jnp.asarray(np.pad(tokens, ((0, 0), (0, pad)))),
        lengths=jnp.asarray([tokens.shape[1]]),
        prompt_mel=jnp.asarray(np.pad(prompt, ((0, 0), (0, frames - prompt.shape[1]), (0, 0)))),
        prompt_frames=jnp.asarray([prompt.shape[1]]),
        speaker=jnp.asarray(dump["embedding"]),
        noise=jnp.asarray(flow_noise(frames)),
    )


def solve_dump(
    synthesizer: Synthesizer, path: Path, dump: dict[str, np.ndarray]
) -> tuple[np.ndarray, Condition, Trace | None]:
    """Our new mel (1, M, T), condition and steps; how it was run (finalize, streaming) is in the dump's metadata."""
    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    config = synthesizer.config.flow
    mel, condition, trace = solve(
        synthesizer.params("flow"),
        flow_inputs(dump, config.token_mel_ratio),
        config=config,
        precision=synthesizer.precision,
        streaming=metadata["streaming"] == "True",
        finalize=metadata["finalize"] == "True",
        trace=True,
    )
    new = slice(dump["prompt_feat"].shape[1], int(condition.frames[0]))
    return np.asarray(mel)[:, new].transpose(0, 2, 1), condition, trace


def check_flow(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Condition, times, steps and mel."""
    dump = load_file(path)
    mel, condition, trace = solve_dump(synthesizer, path, dump)
    frames = int(condition.frames[0])
    ours = {
        "mu": np.asarray(condition.mu)[0, :frames].T,
        "cond": np.asarray(condition.cond)[0, :frames].T,
        "spks": np.asarray(condition.speaker)[0],
        "step_t": time_steps(synthesizer.config.flow.num_steps)[0],
    }
    if trace is not None:
        steps = zip(("step_x", "step_v_cond", "step_v_uncond"), trace, strict=True)
        ours |= {name: np.asarray(part)[:, 0, :frames].transpose(0, 2, 1) for name, part in steps}
    exact = is_exact(synthesizer, path)
    checks = [
        judge(name, value, dump[name], dump.get(f"{name}_f64"), within, _STEP_LIMIT, exact)
        for name, value in ours.items()
        if name in dump
    ]
    return [*checks, judge("mel", mel, dump["mel"], dump.get("mel_f64"), within, _MEL_LIMIT, exact)]
