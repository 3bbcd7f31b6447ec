"""What training takes of memory and work at released size, by XLA's analysis of the compiled gradient; nothing is run.

    python -m benchmarks.training_memory [--stages llm flow] [--dtype float32 bfloat16] [--rows 5]

A row is 8 s: 256 ids of the language model, 400 frames of the flow; five rows are the 40 s of `batch_seconds`. Held:
the weights in float32 and, of what is learnt, both moments of Adam. Beside it the gradient and what the backward pass
keeps. Takes a minute a line for the language model; the flow's attention takes XLA's CPU backend much longer.
"""

import argparse
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks.table import print_table
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.nn.precision import Precision, get_precision
from cosy_jax.train.flow.loss import FlowBatch, draw_flow, flow_loss
from cosy_jax.train.llm.layout import TrainingRow
from cosy_jax.train.llm.loss import llm_loss
from cosy_jax.train.parametrisation import LowRank, Parametrisation, Whole

CONFIG = ModelConfig()
_WAYS: dict[str, Parametrisation] = {
    "all weights": Whole(),
    "rank 16": LowRank(16, 32.0, ("query", "key", "value", "output")),
}
_IDS, _FRAMES = 256, 400

Loss = Callable[[Any, Any, Precision, bool], jax.Array]


def llm_batch(rows: int) -> tuple[Any, Loss]:
    """Shapes of a batch of the language model, and its loss of (parameters, batch, precision, remat)."""
    shape = (rows, _IDS)
    batch = TrainingRow(*(jax.ShapeDtypeStruct(shape, kind) for kind in (jnp.int32, bool, jnp.int32)))  # type: ignore[arg-type]
    return (
        batch,
        lambda params, rows, precision, remat: (
            llm_loss(params, rows, config=CONFIG.llm, precision=precision, remat=remat).loss
        ),
    )


def flow_batch(rows: int) -> tuple[Any, Loss]:
    """Those of the flow."""
    flow = CONFIG.flow
    shapes = (rows, _FRAMES // flow.token_mel_ratio), (rows,), (rows, _FRAMES, flow.mel_bands), (rows, flow.speaker_dim)
    kinds = jnp.int32, jnp.int32, jnp.float32, jnp.float32
    batch = FlowBatch(*(jax.ShapeDtypeStruct(*pair) for pair in zip(shapes, kinds, strict=True)))  # type: ignore[arg-type]

    def loss(params: Any, batch: FlowBatch, precision: Precision, remat: bool) -> jax.Array:
        draws = draw_flow(jax.random.key(0), batch, flow)
        return flow_loss(params, batch, draws, config=flow, precision=precision, remat=remat).loss

    return batch, loss


def row(stage: str, way: str, dtype: str, remat: bool, rows: int) -> tuple[str | float, ...]:
    """A line of the table: GB held and beside it, TFLOP of forward and backward pass."""
    batch, loss = {"llm": llm_batch, "flow": flow_batch}[stage](rows)
    params = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, jnp.float32), expected_shapes(stage, CONFIG))
    learnt, frozen = jax.eval_shape(lambda params: _WAYS[way].split(params, jax.random.key(0)), params)

    @jax.jit
    def gradient(learnt: Any, frozen: Any, batch: Any) -> Any:
        precision = get_precision(dtype)
        return jax.grad(lambda learnt: loss(_WAYS[way].join(learnt, frozen), batch, precision, remat))(learnt)

    compiled = gradient.lower(learnt, frozen, batch).compile()
    memory: Any = compiled.memory_analysis()
    cost: Any = compiled.cost_analysis()
    held = _size(params) + 2 * _size(learnt) + (_size(learnt) if way != "all weights" else 0)
    beside = memory.temp_size_in_bytes + memory.output_size_in_bytes
    return (stage, way, dtype, "yes" if remat else "no", held / 1e9, beside / 1e9, (held + beside) / 1e9,
            float(cost.get("flops", 0)) / 1e12)  # fmt: skip


def _size(tree: Any) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stages", nargs="+", default=["llm"], choices=("llm", "flow"))
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=("float32", "bfloat16"))
    parser.add_argument("--rows", type=int, default=5)
    args = parser.parse_args()
    print_table(
        ("stage", "learnt", "products", "remat", "held, GB", "beside it, GB", "in all, GB", "TFLOP"),
        [
            row(stage, way, dtype, remat, args.rows)
            for stage in args.stages for way in _WAYS for dtype in args.dtype for remat in (False, True)
        ],
    )  # fmt: skip


if __name__ == "__main__":
    main()
