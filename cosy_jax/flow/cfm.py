"""Conditional flow matching: classifier-free guidance and the Euler solver as one `lax.scan` (reference:
CausalConditionalCFM, CausalMaskedDiffWithDiT.inference).

B batch, L tokens, T frames, M mel bands, N Euler steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.flow.dit import DiT, Kept, Past
from cosy_jax.flow.lookahead import Lookahead, embed_tokens, project_speaker
from cosy_jax.nn.layers import Embedding, Linear, length_mask
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.nn.programs import program


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FlowInputs:
    """One padded batch: tokens int (B, L) = prompt tokens then new tokens, lengths int (B,); prompt_mel (B, T, M) with
    prompt_frames int (B,), T = token_mel_ratio * L, any values beyond; speaker (B, 192); noise (T, M), the same for
    every row."""

    tokens: jax.Array
    lengths: jax.Array
    prompt_mel: jax.Array
    prompt_frames: jax.Array
    speaker: jax.Array
    noise: jax.Array


class Condition(NamedTuple):
    """What the ODE is conditioned on: mu, cond (B, T, M), speaker (B, M), frames int (B,), the rows' lengths."""

    mu: jax.Array
    cond: jax.Array
    speaker: jax.Array
    frames: jax.Array


class Trace(NamedTuple):
    """Every Euler step's input and the two velocities before guidance, each (N, B, T, M)."""

    x: jax.Array
    v_cond: jax.Array
    v_uncond: jax.Array


class Flow(nn.Module):
    """Parameters of the whole flow stage; `condition`, `modulations` and `velocity` are its three functions."""

    config: FlowConfig
    precision: Precision = FLOAT32
    remat: bool = False

    def setup(self) -> None:
        c = self.config
        self.token_embedding = Embedding(c.token_vocab_size, c.mel_bands)
        self.speaker_projection = Linear(c.mel_bands, precision=self.precision)
        self.lookahead = Lookahead(c, self.precision)
        self.dit = DiT(c, self.precision, self.remat)

    def condition(self, inputs: FlowInputs, finalize: bool) -> Condition:
        """mu, cond, speaker and length of each row. Without `finalize` the last `lookahead` tokens are context only."""
        c = self.config
        h = self.lookahead(embed_tokens(self.token_embedding, inputs.tokens, inputs.lengths))
        lengths = inputs.lengths if finalize else inputs.lengths - c.lookahead
        mu = jnp.repeat(h, c.token_mel_ratio, axis=1)
        prompt = length_mask(inputs.prompt_frames, mu.shape[1])[..., None]
        cond = jnp.where(prompt, inputs.prompt_mel, 0.0)
        speaker = project_speaker(self.speaker_projection, inputs.speaker)
        return Condition(mu, cond, speaker, c.token_mel_ratio * lengths)

    def piece_condition(
        self, tokens: jax.Array, lengths: jax.Array, begin: jax.Array, speaker: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """mu (B, T, M) of windows of tokens int (B, L) that may begin before the first one, which is at `begin` (B,),
        and the projected speakers (B, M)."""
        h = self.lookahead(embed_tokens(self.token_embedding, tokens, lengths), begin)
        mu = jnp.repeat(h, self.config.token_mel_ratio, axis=1)
        return mu, project_speaker(self.speaker_projection, speaker)

    def modulations(self, t: jax.Array) -> tuple[jax.Array, jax.Array]:
        return self.dit.modulations(t)

    def velocity(
        self,
        x: jax.Array,
        condition: Condition,
        modulation: tuple[jax.Array, jax.Array],
        mask: jax.Array,
        past: Past | None = None,
    ) -> tuple[jax.Array, jax.Array, Past]:
        """Velocities (B, T, M) with and without the condition, from one pass over 2 B rows, all at one time
        (`modulation` with R = 1); and the past grown by these frames."""
        mu, cond, speaker = (jnp.concatenate([part, jnp.zeros_like(part)]) for part in condition[:3])
        twice = jnp.concatenate([mask, mask])
        both, past = self.dit(jnp.concatenate([x, x]), cond, mu, speaker, modulation, twice, past)
        v_cond, v_uncond = jnp.split(both, 2)
        return v_cond, v_uncond, past

    def training_velocity(
        self, x: jax.Array, condition: Condition, t: jax.Array, mask: jax.Array, kept: Sequence[Kept] | None
    ) -> jax.Array:
        """Velocity (B, T, M) of rows that are each at a time of its own, t (B,), under its condition alone."""
        mu, cond, speaker, _ = condition
        return self.dit(x, cond, mu, speaker, self.modulations(t), mask, kept=kept)[0]

    def __call__(self, inputs: FlowInputs) -> jax.Array:
        """One velocity at t = 0: touches every parameter, for initialisation."""
        condition = self.condition(inputs, finalize=True)
        modulation = self.modulations(jnp.zeros(1))
        mask = attention_mask(condition.frames, condition.mu.shape[1], None)
        return self.velocity(condition.mu, condition, modulation, mask)[0]


def time_steps(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Start times and step sizes, each float32 (N,), of t = 1 - cos(pi/2 i/N).

    The reference accumulates t in float32 and takes each next step size against the accumulated t.
    """
    span = np.float32(1) - np.cos(np.linspace(0, 1, steps + 1, dtype=np.float32) * np.float32(0.5 * np.pi))
    t, dt = span[0], span[1] - span[0]
    times, sizes = [], []
    for step in range(1, steps + 1):
        times.append(t)
        sizes.append(dt)
        t = t + dt
        if step < steps:
            dt = span[step + 1] - t
    return np.asarray(times, np.float32), np.asarray(sizes, np.float32)


def guided_step(x: jax.Array, v_cond: jax.Array, v_uncond: jax.Array, dt: jax.Array, config: FlowConfig) -> jax.Array:
    """x (..., M) after an Euler step of size dt along the guided velocity, (1 + w) v_cond - w v_uncond with w the
    guidance rate (classifier-free guidance, https://arxiv.org/abs/2207.12598)."""
    rate = config.guidance_rate
    return x + dt * ((1.0 + rate) * v_cond - rate * v_uncond)


def attention_mask(frames: jax.Array, size: int, chunk: int | None) -> jax.Array:
    """Bool (B, T or 1, T): frames inside the row and, with `chunk`, not right of the query's own chunk."""
    mask = length_mask(frames, size)[:, None]
    if chunk is None:
        return mask
    position = jnp.arange(size)
    return mask & (position[None, :] < (position[:, None] // chunk + 1) * chunk)


@program(static_argnames=("config", "precision", "streaming", "finalize", "trace"))
def solve(
    params: dict,
    inputs: FlowInputs,
    *,
    config: FlowConfig,
    precision: Precision = FLOAT32,
    streaming: bool = False,
    finalize: bool = True,
    trace: bool = False,
) -> tuple[jax.Array, Condition, Trace | None]:
    """Mel (B, T, M), log amplitude, prompt part included, by N Euler steps from the noise.

    `streaming` masks attention in chunks of `config.chunk_frames`; `trace` returns every step as well.
    """
    model = Flow(config, precision)

    def call(method: str, *args: object) -> tuple:
        return model.apply({"params": params}, *args, method=method)

    condition = Condition(*call("condition", inputs, finalize))
    times, sizes = time_steps(config.num_steps)
    modulations = call("modulations", jnp.asarray(times)[:, None])
    batch, length, bands = condition.mu.shape
    mask = attention_mask(condition.frames, length, config.chunk_frames if streaming else None)

    def euler(x: jax.Array, step: tuple) -> tuple[jax.Array, Trace | None]:
        modulation, dt = step
        v_cond, v_uncond, _ = call("velocity", x, condition, modulation, mask)
        return guided_step(x, v_cond, v_uncond, dt, config), Trace(x, v_cond, v_uncond) if trace else None

    start = jnp.broadcast_to(inputs.noise, (batch, length, bands)).astype(precision.accumulate)
    mel, steps = lax.scan(euler, start, (modulations, jnp.asarray(sizes)))
    return mel, condition, steps
