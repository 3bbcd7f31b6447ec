"""The flow against its dumps: condition, every Euler step, final mel."""

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import FlowInputs, solve, time_steps
from cosy_jax.nn.noise import flow_noise
from cosy_jax.parity.check import Check, judge, within
from cosy_jax.parity.checks.recorded import is_exact
from cosy_jax.parity.dumps import read_dump, read_flag
from cosy_jax.synthesis.synthesizer import Synthesizer

STEP_VALUES = ("step_x", "step_v_cond", "step_v_uncond")  # what a step holds, as `Trace` does

_STEP_LIMIT = 5e-5
_MEL_LIMIT = 1e-5


def flow_inputs(dump: dict[str, np.ndarray], config: FlowConfig) -> FlowInputs:
    """The inputs that a flow or end-to-end dump holds, as one row."""
    new = dump["token"] if "token" in dump else dump["speech_token"]
    tokens = np.concatenate([dump["prompt_token"], new], axis=1).astype(np.int32)
    frames = config.token_mel_ratio * tokens.shape[1]
    prompt = dump["prompt_feat"]
    return FlowInputs(
        tokens=jnp.asarray(tokens),
        lengths=jnp.asarray([tokens.shape[1]]),
        prompt_mel=jnp.asarray(np.pad(prompt, ((0, 0), (0, frames - prompt.shape[1]), (0, 0)))),
        prompt_frames=jnp.asarray([prompt.shape[1]]),
        speaker=jnp.asarray(dump["embedding"]),
        noise=jnp.asarray(flow_noise(frames, config.mel_bands)),
    )


class FlowRun(NamedTuple):
    """Our run of a flow dump. `dump` and `ours` have the same names and layouts (N Euler steps, M mel bands, T frames):
    mel (1, M, T), mu and cond (M, T), spks (M,), step_t (N,) and, as `Trace` has them, STEP_VALUES, each (N, M, T);
    `ours` also `sizes` (N,), the steps' widths in t."""

    path: Path
    dump: dict[str, np.ndarray]
    ours: dict[str, np.ndarray]

    def truth(self, name: str) -> np.ndarray:
        """The dump's float64 where it has one, else the dump."""
        return self.dump.get(f"{name}_f64", self.dump[name])


def run_flow(synthesizer: Synthesizer, path: Path) -> FlowRun:
    """Solves what a flow dump was given; how it was run (finalize, streaming) is in the dump's metadata."""
    dump, config = read_dump(path, synthesizer.config), synthesizer.config.flow
    mel, condition, trace = solve(
        synthesizer.params("flow"),
        flow_inputs(dump, config),
        config=config,
        precision=synthesizer.precision,
        streaming=read_flag(path, "streaming"),
        finalize=read_flag(path, "finalize"),
        trace=True,
    )
    assert trace is not None
    frames = int(condition.frames[0])
    times, sizes = time_steps(config.num_steps)
    steps = zip(STEP_VALUES, trace, strict=True)
    ours = {
        "mel": np.asarray(mel)[:, dump["prompt_feat"].shape[1] : frames].transpose(0, 2, 1),
        "mu": np.asarray(condition.mu)[0, :frames].T,
        "cond": np.asarray(condition.cond)[0, :frames].T,
        "spks": np.asarray(condition.speaker)[0],
        "step_t": times,
        "sizes": sizes,
        **{name: np.asarray(part)[:, 0, :frames].transpose(0, 2, 1) for name, part in steps},
    }
    return FlowRun(path, dump, ours)


def check_flow(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Condition, times, steps and mel."""
    run, exact = run_flow(synthesizer, path), is_exact(synthesizer, path)

    def check(name: str, limit: float) -> Check:
        return judge(name, run.ours[name], run.dump[name], run.dump.get(f"{name}_f64"), within, limit, exact)

    names = [name for name in ("mu", "cond", "spks", "step_t", *STEP_VALUES) if name in run.dump]
    return [*(check(name, _STEP_LIMIT) for name in names), check("mel", _MEL_LIMIT)]
