"""How a tensor of the released files becomes one of ours, and back. Each is invertible, up to rounding for weight norm.

O output and I input features, G groups, K (or H, W) kernel taps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Transform:
    """`forward` takes the source arrays to ours, `inverse` back, `source_shapes` tells their shapes from ours."""

    name: str
    forward: Callable[..., np.ndarray]
    inverse: Callable[[np.ndarray], tuple[np.ndarray, ...]]
    source_shapes: Callable[[Shape], tuple[Shape, ...]]


def _permutation(name: str, axes: tuple[int, ...]) -> Transform:
    back = tuple(int(axis) for axis in np.argsort(axes))
    return Transform(
        name,
        forward=lambda x: x.transpose(axes),
        inverse=lambda x: (x.transpose(back),),
        source_shapes=lambda shape: (tuple(shape[axis] for axis in back),),
    )


def _fold_weight_norm(g: np.ndarray, v: np.ndarray) -> np.ndarray:
    """w = g v / |v|, the norm over all axes but the first: g (O, 1, 1), v (O, I/G, K) -> (K, I/G, O) float32.

    In float64, as a float32 sum of squares would cost a digit that the F0 predictor needs.
    """
    v = v.astype(np.float64)
    norm = np.sqrt(np.sum(v * v, axis=(1, 2), keepdims=True))
    return (g.astype(np.float64) * v / norm).astype(np.float32).transpose(2, 1, 0)


def _split_weight_norm(kernel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    v = kernel.transpose(2, 1, 0)
    norm = np.sqrt(np.sum(v.astype(np.float64) ** 2, axis=(1, 2), keepdims=True))
    return norm.astype(v.dtype), v


IDENTITY = Transform("identity", lambda x: x, lambda x: (x,), lambda shape: (shape,))
CONV1D = _permutation("conv1d (O, I/G, K) -> (K, I/G, O)", (2, 1, 0))
CONV2D = _permutation("conv2d (O, I, H, W) -> (H, W, I, O)", (2, 3, 1, 0))
MATMUL = _permutation("matmul (I, O) -> (O, I)", (1, 0))
POINTWISE = Transform(
    "pointwise conv (O, I, 1) -> (O, I)",
    forward=lambda x: x[..., 0],
    inverse=lambda x: (x[..., None],),
    source_shapes=lambda shape: ((*shape, 1),),
)
WEIGHT_NORM = Transform(
    "weight norm g (O, 1, 1), v (O, I/G, K) -> (K, I/G, O)",
    forward=_fold_weight_norm,
    inverse=_split_weight_norm,
    source_shapes=lambda shape: ((shape[2], 1, 1), (shape[2], shape[1], shape[0])),
)
