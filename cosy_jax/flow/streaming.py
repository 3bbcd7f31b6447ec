"""The flow piece by piece: each piece costs the same, whatever came before.

Attention is masked in chunks of `chunk_frames`, so a finished chunk never changes. Of what came before, a piece needs
each layer's keys and values and the last inputs of two convolutions, at each Euler step; `FlowState` holds them and
is handed from piece to piece. Pieces joined equal one chunk-masked solve of the whole utterance.

N Euler steps, R rows (with and without condition), S slots of past frames, T frames of a piece, H heads, E head width,
K convolution taps, D model, M mel bands. The newest past frame is in the last slot.
"""

import functools
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import Condition, Flow, guided_step, time_steps
from cosy_jax.flow.dit import LayerPast, Past
from cosy_jax.nn import buckets
from cosy_jax.nn.noise import flow_noise
from cosy_jax.nn.precision import Precision
from cosy_jax.prompt.encode import Prompt

_ROWS = 2
_LEFT_TOKENS = 2  # that the lookahead's second convolution sees


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FlowState:
    """What a piece hands to the next: both convolutions' last inputs (N, R, K - 1, D), each layer's keys and values
    (N, R, S, H, E), and the number of frames so far ()."""

    convolutions: tuple[jax.Array, ...]
    layers: tuple[LayerPast, ...]
    frames: jax.Array


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Piece:
    """One padded piece: tokens int (1, L) from two before its first one on, of which `length` (1,) exist and those
    left of `begin` () do not; prompt_mel (T, M), zero right of the prompt; noise (T, M); speaker (1, 192); `count` ()
    frames of the T are real."""

    tokens: jax.Array
    length: jax.Array
    begin: jax.Array
    prompt_mel: jax.Array
    noise: jax.Array
    speaker: jax.Array
    count: jax.Array


def init_state(config: FlowConfig, precision: Precision) -> FlowState:
    """The state before the first piece."""

    def zeros(*shape: int, dtype: jnp.dtype = jnp.float32) -> jax.Array:
        return jnp.zeros((config.num_steps, _ROWS, *shape), dtype)

    convolutions = (zeros(config.conv_kernel - 1, config.dim),) * 2
    nothing = zeros(0, config.heads, config.head_dim, dtype=precision.compute)
    return FlowState(convolutions, (LayerPast(nothing, nothing),) * config.depth, jnp.zeros((), jnp.int32))


def state_bytes(config: FlowConfig, precision: Precision, slots: int) -> int:
    """Memory of a state's keys and values with that many slots; while a piece is computed there are two states."""
    values = 2 * config.num_steps * _ROWS * config.depth * config.heads * config.head_dim * slots
    return values * precision.compute.itemsize


def extend(
    params: dict,
    state: FlowState,
    tokens: np.ndarray,
    until: int,
    prompt: Prompt,
    config: FlowConfig,
    precision: Precision,
    left_chunks: int | None = None,
) -> tuple[np.ndarray, FlowState]:
    """Mel float32 (frames, M) from where the state ends to token `until`, and the state after it.

    `tokens` int (L,) are all so far, the prompt's first; those from `until` on are lookahead, and where they end the
    utterance does. `until` must lie on a chunk's end unless it is the last. `left_chunks` bounds how far attention
    looks back beyond the query's own chunk, and so memory and cost; None: to the start. No more is kept than there is.
    """
    ratio = config.token_mel_ratio
    done = int(state.frames)
    first, count = done // ratio, ratio * until - done
    frames = buckets.bucket(count, buckets.STREAM_FRAMES, "A piece of the stream")
    window = tokens[max(first - _LEFT_TOKENS, 0) : until + config.lookahead]
    begin = max(_LEFT_TOKENS - first, 0)
    size = _LEFT_TOKENS + frames // ratio + config.lookahead
    piece = Piece(
        tokens=jnp.asarray(np.pad(window, (begin, size - begin - len(window))).astype(np.int32))[None],
        length=jnp.asarray([begin + len(window)]),
        begin=jnp.asarray(begin),
        prompt_mel=jnp.asarray(_rows(prompt.mel[done : done + frames], frames)),
        noise=jnp.asarray(_rows(flow_noise(done + count, config.mel_bands)[done:], frames)),
        speaker=jnp.asarray(prompt.speaker_embedding)[None],
        count=jnp.asarray(count),
    )
    if left_chunks is not None:
        left_chunks = min(left_chunks, buckets.STREAM_SLOTS[-1] // config.chunk_frames)
    slots = _slots(done + count, config, left_chunks)
    mel, state = _extend(params, state, piece, config=config, precision=precision, slots=slots, left_chunks=left_chunks)
    return np.asarray(mel)[:count], state


def _rows(x: np.ndarray, size: int) -> np.ndarray:
    return np.pad(x, ((0, size - len(x)), (0, 0)))


def _slots(frames: int, config: FlowConfig, left_chunks: int | None) -> int:
    """Past frames that are kept: those that may be looked back on, as far as there are any yet."""
    slots = buckets.bucket(frames, buckets.STREAM_SLOTS, "The stream")
    return slots if left_chunks is None else min(left_chunks * config.chunk_frames, slots)


@functools.partial(jax.jit, static_argnames=("config", "precision", "slots", "left_chunks"))
def _extend(
    params: dict,
    state: FlowState,
    piece: Piece,
    *,
    config: FlowConfig,
    precision: Precision,
    slots: int,
    left_chunks: int | None,
) -> tuple[jax.Array, FlowState]:
    model = Flow(config, precision)

    def call(method: str, *args: object) -> tuple:
        return model.apply({"params": params}, *args, method=method)

    mu, speaker = call("piece_condition", piece.tokens, piece.length, piece.begin, piece.speaker)
    frames = piece.noise.shape[0]
    mu = mu[:, config.token_mel_ratio * _LEFT_TOKENS :][:, :frames]
    condition = Condition(mu, piece.prompt_mel[None], speaker, piece.count[None])
    times, sizes = time_steps(config.num_steps)
    mask = _mask(state, frames, piece.count, config, left_chunks)

    def euler(x: jax.Array, step: tuple) -> tuple[jax.Array, tuple]:
        modulation, dt, convolutions, layers = step
        past = Past(state.frames, convolutions, layers)
        v_cond, v_uncond, past = call("velocity", x, condition, modulation, mask, past)
        kept = tuple(_keep(inputs, piece.count, config.conv_kernel - 1, frames) for inputs in past.convolutions)
        layers = jax.tree.map(lambda x: _keep(x, piece.count, slots, frames), past.layers)
        return guided_step(x, v_cond, v_uncond, dt, config), (kept, layers)

    modulations = call("modulations", jnp.asarray(times)[:, None])
    steps = (modulations, jnp.asarray(sizes), state.convolutions, state.layers)
    mel, (convolutions, layers) = lax.scan(euler, piece.noise[None], steps)
    return mel[0], FlowState(convolutions, layers, state.frames + piece.count)


def _mask(state: FlowState, frames: int, count: jax.Array, config: FlowConfig, left_chunks: int | None) -> jax.Array:
    """Bool (1, T, S + T): keys that exist, not right of the query's chunk, not too far left of it."""
    slots = state.layers[0].key.shape[2]
    query = state.frames + jnp.arange(frames)[:, None]
    key = state.frames - slots + jnp.arange(slots + frames)
    chunk = query // config.chunk_frames
    mask = (key >= 0) & (key < state.frames + count) & (key < (chunk + 1) * config.chunk_frames)
    if left_chunks is not None:
        mask &= key >= (chunk - left_chunks) * config.chunk_frames
    return mask[None]


def _keep(x: jax.Array, count: jax.Array, size: int, frames: int) -> jax.Array:
    """Of x (R, past + frames, ...), the `size` rows up to the `count`-th new one; zeros where there were fewer."""
    missing = max(size - (x.shape[1] - frames), 0)
    x = jnp.pad(x, ((0, 0), (missing, 0), *[(0, 0)] * (x.ndim - 2)))
    return lax.dynamic_slice_in_dim(x, x.shape[1] - frames + count - size, size, axis=1)
