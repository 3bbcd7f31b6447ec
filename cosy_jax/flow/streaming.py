"""The flow piece by piece, many utterances at a time: each piece costs the same, whatever came before.

Attention is masked in chunks of `chunk_frames`, so a finished chunk never changes. Of what came before, a piece needs
each layer's keys and values and the last inputs of two convolutions, at each Euler step, which `pages` holds. Pieces
joined equal one chunk-masked solve of the whole utterance, whatever other rows there are.

N Euler steps, R rows, each with and without condition, T frames of a piece, C of a chunk and page, L tokens, G pages a
row looks back on, W pages a piece can fill, K convolution taps, D model, M mel bands.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.flow.cfm import Condition, Flow, guided_step, time_steps
from cosy_jax.flow.dit import LayerPast, Past
from cosy_jax.flow.pages import (
    BLANK,
    NOWHERE,
    FlowPages,
    gather_layer,
    gather_slots,
    scatter_layer,
    scatter_slots,
)
from cosy_jax.nn import buckets
from cosy_jax.nn.noise import flow_noise
from cosy_jax.nn.precision import Precision
from cosy_jax.prompt.encode import Prompt

_LEFT_TOKENS = 2  # that the lookahead's second convolution sees
_FAR = np.iinfo(np.int32).max // 4  # chunks: as far back as there is anything


@dataclass(frozen=True)
class Piece:
    """What is to be solved of one utterance: the frames from `start`, which begins a chunk, to token `until`.

    `tokens` int (L,) are all so far, the prompt's first; those from `until` on are lookahead, and where they end the
    utterance does. `until` lies on a chunk's end unless it is the last. Of the past, `pages` hold the chunks from
    `first` on, and `read` the convolutions' inputs; a page for each chunk that the piece finishes is in `fills`, unless
    nothing follows, and `write` is the slot. `left_chunks` bounds how far attention looks back beyond a query's own
    chunk; None: to the start.
    """

    tokens: np.ndarray
    prompt: Prompt
    start: int
    until: int
    first: int
    pages: tuple[int, ...]
    fills: tuple[int, ...]
    read: int
    write: int
    left_chunks: int | None = None

    def frames(self, config: FlowConfig) -> int:
        """Mel frames of the piece."""
        return config.token_mel_ratio * self.until - self.start


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class PieceBatch:
    """Padded pieces: tokens int (R, L) from two before each first one on, of which `lengths` (R,) exist and those left
    of `begin` (R,) do not; prompt_mel (R, T, M), zero right of the prompt; noise (R, T, M); speaker (R, 192); `start`
    and `count` (R,), the first frame and the number of real ones. Pages looked back on (R, G), whose first frame is
    `first` (R,), and filled (R, W); slots `read` and `write` (R,); `left` (R,), chunks that are looked back on."""

    tokens: jax.Array
    lengths: jax.Array
    begin: jax.Array
    prompt_mel: jax.Array
    noise: jax.Array
    speaker: jax.Array
    start: jax.Array
    count: jax.Array
    first: jax.Array
    pages: jax.Array
    fills: jax.Array
    read: jax.Array
    write: jax.Array
    left: jax.Array


def batch_pieces(pieces: Sequence[Piece], config: FlowConfig, rows: int, frames: int, pages: int) -> PieceBatch:
    """The pieces as a batch of `rows` rows, `frames` (T) frames and a past of `pages` (G) pages; rows beyond them
    repeat the first and leave nothing behind."""
    stacked = [_padded(piece, config, frames, pages) for piece in pieces]
    idle = stacked[0] | {"fills": np.full_like(stacked[0]["fills"], NOWHERE), "write": np.int32(NOWHERE)}
    stacked += [idle] * (rows - len(pieces))
    return PieceBatch(**{name: jnp.asarray(np.stack([row[name] for row in stacked])) for name in idle})


def _padded(piece: Piece, config: FlowConfig, frames: int, pages: int) -> dict[str, np.ndarray | np.int32]:
    ratio, count = config.token_mel_ratio, piece.frames(config)
    token, end = piece.start // ratio, piece.start + count
    window = piece.tokens[max(token - _LEFT_TOKENS, 0) : piece.until + config.lookahead]
    begin, size = max(_LEFT_TOKENS - token, 0), _LEFT_TOKENS + frames // ratio + config.lookahead

    def fit(x: np.ndarray | Sequence[int], length: int, dtype: type = np.float32, filler: int = 0) -> np.ndarray:
        x = np.asarray(x, dtype)
        return np.pad(x, [(0, length - len(x)), *[(0, 0)] * (x.ndim - 1)], constant_values=filler)

    return {
        "tokens": np.concatenate([np.zeros(begin, np.int32), fit(window, size - begin, np.int32)]),
        "prompt_mel": fit(piece.prompt.mel[piece.start : end], frames),
        "noise": fit(flow_noise(end, config.mel_bands)[piece.start :], frames),
        "speaker": piece.prompt.speaker_embedding,
        "pages": fit(piece.pages, pages, np.int32, BLANK),
        "fills": fit(piece.fills, -(-frames // config.chunk_frames), np.int32, NOWHERE),
        "lengths": np.int32(begin + len(window)),
        "begin": np.int32(begin),
        "start": np.int32(piece.start),
        "count": np.int32(count),
        "first": np.int32(piece.first * config.chunk_frames),
        "read": np.int32(piece.read),
        "write": np.int32(piece.write),
        "left": np.int32(_FAR if piece.left_chunks is None else min(piece.left_chunks, _FAR)),
    }


def page_bucket(pages: int, config: FlowConfig) -> int:
    """The pages that a past is padded to; CosyError where it is longer than the reference's noise (300 s)."""
    chunk = config.chunk_frames
    return buckets.bucket(chunk * pages, buckets.STREAM_PAST, "The stream") // chunk


@functools.partial(jax.jit, static_argnames=("config", "precision"), donate_argnames=("pages",))
def solve_pieces(
    params: dict, pages: FlowPages, batch: PieceBatch, *, config: FlowConfig, precision: Precision
) -> tuple[jax.Array, FlowPages]:
    """Mel float32 (R, T, M) of each piece, and the pages, which are donated, with what the pieces leave behind."""
    model = Flow(config, precision)

    def call(method: str, *args: object) -> tuple:
        return model.apply({"params": params}, *args, method=method)

    mu, speaker = call("piece_condition", batch.tokens, batch.lengths, batch.begin, batch.speaker)
    frames = batch.noise.shape[1]
    mu = mu[:, config.token_mel_ratio * _LEFT_TOKENS :][:, :frames]
    condition = Condition(mu, batch.prompt_mel, speaker, batch.count)
    start, count = (jnp.concatenate([x, x]) for x in (batch.start, batch.count))  # with condition, and without
    mask = _mask(batch, config)

    # The loop only reads the pages, and what it leaves behind is written when it has ended: a loop that did both would
    # be given a copy of all of them in every step.
    def euler(x: jax.Array, step: tuple) -> tuple[jax.Array, tuple]:
        index, modulation, dt = step
        convolutions = tuple(gather_slots(tail, index, batch.read) for tail in pages.convolutions)
        layers = tuple(gather_layer(layer, index, batch.pages, precision) for layer in pages.layers)
        past = Past(start[:, None], convolutions, layers)
        v_cond, v_uncond, grown = call("velocity", x, condition, modulation, mask, past)
        return guided_step(x, v_cond, v_uncond, dt, config), _left_behind(grown, count, frames, config, precision)

    times, sizes = time_steps(config.num_steps)
    steps = (jnp.arange(config.num_steps), call("modulations", jnp.asarray(times)[:, None]), jnp.asarray(sizes))
    mel, (tails, layers) = lax.scan(euler, batch.noise, steps)
    layers = tuple(scatter_layer(old, batch.fills, new) for old, new in zip(pages.layers, layers, strict=True))
    tails = tuple(scatter_slots(old, batch.write, new) for old, new in zip(pages.convolutions, tails, strict=True))
    return mel, FlowPages(layers, tails)


def _mask(batch: PieceBatch, config: FlowConfig) -> jax.Array:
    """Bool (R, T, G C + T): keys that exist, not right of the query's chunk, not too far left of it."""
    chunk, frames = config.chunk_frames, jnp.arange(batch.noise.shape[1])
    past = batch.first[:, None] + jnp.arange(batch.pages.shape[1] * chunk)
    now = batch.start[:, None] + frames
    key = jnp.concatenate([past, now], axis=1)[:, None]
    exists = jnp.concatenate([past < batch.start[:, None], frames < batch.count[:, None]], axis=1)[:, None]
    query = now[:, :, None] // chunk
    return exists & (key // chunk <= query) & (key // chunk >= query - batch.left[:, None, None])


def _left_behind(
    grown: Past, count: jax.Array, frames: int, config: FlowConfig, precision: Precision
) -> tuple[tuple[jax.Array, ...], tuple[LayerPast, ...]]:
    """The convolutions' last inputs (2 R, K - 1, D), up to each row's `count`-th frame, and the keys and values of the
    piece's own frames, whole pages of them (2 R, W C, H, E)."""
    size = config.conv_kernel - 1
    last = jax.vmap(lambda inputs, at: lax.dynamic_slice_in_dim(inputs, at, size))
    new = -(-frames // config.chunk_frames) * config.chunk_frames
    layers = jax.tree.map(lambda x: x[:, -new:].astype(precision.compute), grown.layers)
    return tuple(last(inputs, count) for inputs in grown.convolutions), layers
