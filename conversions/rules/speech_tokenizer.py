"""speech_tokenizer_v3.onnx: source names are those of `read_onnx.weights_by_node`."""

from ..mapping import Ignore, Rule
from ..transforms import CONV1D, MATMUL

_BLOCK = "/blocks.{n}"
_LINEARS = (
    ("attn/query", "attention/query"),
    ("attn/value", "attention/value"),
    ("attn/out", "attention/output"),
    ("mlp/mlp.0", "mlp/linear1"),
    ("mlp/mlp.2", "mlp/linear2"),
)


def _norm(source: str, target: str) -> tuple[Rule, ...]:
    """Layer norm, written out as primitive nodes or as one node (from opset 17 on)."""
    return (
        Rule(f"{source}/Mul", f"{target}/scale"),
        Rule(f"{source}/Add_1", f"{target}/bias"),
        Rule(f"{source}/LayerNormalization:weight", f"{target}/scale"),
        Rule(f"{source}/LayerNormalization:bias", f"{target}/bias"),
    )


RULES: tuple[Rule | Ignore, ...] = (
    *(
        rule
        for name in ("conv1", "conv2")
        for rule in (
            Rule(f"/{name}/Conv:weight", f"{name}/kernel", CONV1D),
            Rule(f"/{name}/Conv:bias", f"{name}/bias"),
        )
    ),
    *_norm(f"{_BLOCK}/attn_ln", "blocks_{n}/attention_norm"),
    *_norm(f"{_BLOCK}/mlp_ln", "blocks_{n}/mlp_norm"),
    *(
        rule
        for theirs, ours in _LINEARS
        for rule in (
            Rule(f"{_BLOCK}/{theirs}/MatMul:weight", f"blocks_{{n}}/{ours}/kernel", MATMUL),
            Rule(f"{_BLOCK}/{theirs}/Add", f"blocks_{{n}}/{ours}/bias"),
        )
    ),
    Rule(f"{_BLOCK}/attn/key/MatMul:weight", "blocks_{n}/attention/key/kernel", MATMUL),
    Rule(f"{_BLOCK}/attn/fsmn_block/Conv:weight", "blocks_{n}/attention/memory/kernel", CONV1D),
    *(
        rule
        for prefix in ("/quantizer", "")
        for rule in (
            Rule(f"{prefix}/project_in/MatMul:weight", "code_projection/kernel", MATMUL),
            Rule(f"{prefix}/project_in/Add", "code_projection/bias"),
        )
    ),
)
