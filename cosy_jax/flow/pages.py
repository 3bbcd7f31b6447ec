"""What pieces of many utterances leave behind, in pages of one chunk of attention, as the flow's next pieces need it.

Keys and values lie in pages that a table a row points to (https://arxiv.org/abs/2309.06180): a row takes a page for
each finished chunk, rows of one voice share those of its recording, and nothing is ever moved. What the position
convolutions look back on, a few inputs, lies in slots.

N Euler steps, P pages, C frames of a page, S slots, R rows, G pages a row looks back on, W pages written, H heads, E
head width, K convolution taps, D model.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from cosy_jax.config import FlowConfig
from cosy_jax.flow.dit import LayerPast
from cosy_jax.nn import backend
from cosy_jax.nn.precision import Precision

# the page and the slot that nothing is written to: what an utterance begins with, and what tables are padded with
BLANK = 0
NOWHERE = np.iinfo(np.int32).max  # a page or slot to write to, which is dropped

_LANES = 128  # of a TPU's registers


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class FlowPages:
    """Each layer's keys and values, two rows (with and without condition) of each page, (2, N, P, C, H, E); both
    convolutions' last inputs (2, N, S, K - 1, D)."""

    layers: tuple[LayerPast, ...]
    convolutions: tuple[jax.Array, ...]


def empty_pages(
    config: FlowConfig,
    precision: Precision,
    pages: int,
    slots: int,
    place: Callable[[LayerPast], LayerPast] = lambda layer: layer,
) -> FlowPages:
    """Of zeros; `place` puts a layer's on the devices. A mask is no shield against what is not finite, so what a row is
    padded with has to stay zero: `BLANK` is one of the pages and slots, and given to nobody."""
    shape = (2, config.num_steps, pages, config.chunk_frames, config.heads, config.head_dim)

    def layer() -> LayerPast:
        return place(LayerPast(jnp.zeros(shape, _stored(precision)), jnp.zeros(shape, _stored(precision))))

    tail = (2, config.num_steps, slots, config.conv_kernel - 1, config.dim)
    return FlowPages(tuple(layer() for _ in range(config.depth)), (jnp.zeros(tail), jnp.zeros(tail)))


def page_bytes(config: FlowConfig, precision: Precision) -> int:
    """Memory of a page in all layers and steps, of a device as this process has."""
    # A TPU pads the last axis.
    width = -(-config.head_dim // _LANES) * _LANES if backend.host_platform() == "tpu" else config.head_dim
    values = 2 * 2 * config.num_steps * config.depth * config.chunk_frames * config.heads * width
    return values * _stored(precision).itemsize


def slot_bytes(config: FlowConfig) -> int:
    """Memory of a slot."""
    return 2 * 2 * config.num_steps * (config.conv_kernel - 1) * config.dim * 4


def gather_layer(layer: LayerPast, step: jax.Array, tables: jax.Array, precision: Precision) -> LayerPast:
    """Keys and values (2 R, G C, H, E) of one Euler step from the pages `tables` int (R, G)."""

    def rows(x: jax.Array) -> jax.Array:
        _, _, _, frames, *heads = x.shape
        picked = x[:, step, tables].reshape(2 * tables.shape[0], tables.shape[1] * frames, *heads)
        return picked if picked.dtype == precision.compute else lax.bitcast_convert_type(picked, precision.compute)

    return jax.tree.map(rows, layer)


def scatter_layer(layer: LayerPast, tables: jax.Array, new: LayerPast) -> LayerPast:
    """The pages with `new` (N, 2 R, W C, H, E), of all Euler steps, written to `tables` int (R, W)."""

    def write(x: jax.Array, rows: jax.Array) -> jax.Array:
        rows = lax.bitcast_convert_type(rows, x.dtype) if rows.dtype != x.dtype else rows
        return _put(x, tables, rows.reshape(x.shape[1], 2, *tables.shape, *x.shape[3:]))

    return jax.tree.map(write, layer, new)


def gather_slots(tail: jax.Array, step: jax.Array, slots: jax.Array) -> jax.Array:
    """A convolution's last inputs (2 R, K - 1, D) of one Euler step, from `slots` int (R,)."""
    picked = tail[:, step, slots]
    return picked.reshape(-1, *picked.shape[2:])


def scatter_slots(tail: jax.Array, slots: jax.Array, new: jax.Array) -> jax.Array:
    """The slots with `new` (N, 2 R, K - 1, D), of all Euler steps, written to `slots` int (R,)."""
    return _put(tail, slots, new.reshape(tail.shape[1], 2, len(slots), *new.shape[2:]))


def _put(x: jax.Array, places: jax.Array, new: jax.Array) -> jax.Array:
    """x (2, N, P, ...) with `new` (N, 2, *places, ...) at those of the `places` that there are."""
    return x.at[:, :, places].set(new.swapaxes(0, 1), mode="drop")


def _stored(precision: Precision) -> jnp.dtype:
    """bfloat16 is kept as bits: XLA's CPU backend takes the whole of an array that is written to, to float32 and back,
    which is 20 to 200 times slower."""
    return jnp.dtype(jnp.uint16 if precision.compute == jnp.bfloat16 else precision.compute)
