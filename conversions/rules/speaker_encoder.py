"""campplus.onnx (CAM++): source names are those of `read_onnx.weights_by_node`.

Most convolutions there have the batch norm that follows them folded in; the batch norms that come before one are kept.
"""

from ..mapping import Ignore, Rule
from ..transforms import CONV1D, CONV2D, POINTWISE, Transform

_LAYER = "/xvector/block{b}/tdnnd{i+1}"


def _conv(source: str, target: str, transform: Transform) -> tuple[Rule, Rule]:
    return (
        Rule(f"{source}/Conv:weight", f"{target}/kernel", transform),
        Rule(f"{source}/Conv:bias", f"{target}/bias"),
    )


def _batch_norm(source: str, target: str) -> tuple[Rule, ...]:
    names = (("weight", "scale"), ("bias", "bias"), ("running_mean", "mean"), ("running_var", "var"))
    node = f"{source}/batchnorm/BatchNormalization"
    return tuple(Rule(f"{node}:{theirs}", f"{target}/{ours}") for theirs, ours in names)


_HEAD_LAYER = "/head/layer{a}/layer{a}.{j}"

RULES: tuple[Rule | Ignore, ...] = (
    *_conv("/head/conv1", "head/conv1", CONV2D),
    *_conv("/head/conv2", "head/conv2", CONV2D),
    *_conv(f"{_HEAD_LAYER}/conv1", "head/layer{a}_{j}/conv1", CONV2D),
    *_conv(f"{_HEAD_LAYER}/conv2", "head/layer{a}_{j}/conv2", CONV2D),
    *_conv(f"{_HEAD_LAYER}/shortcut/shortcut.0", "head/layer{a}_{j}/shortcut", CONV2D),
    *_conv("/xvector/tdnn/linear", "tdnn", CONV1D),
    *_batch_norm(f"{_LAYER}/nonlinear1", "block{b}_{i}/norm"),
    *_conv(f"{_LAYER}/linear1", "block{b}_{i}/bottleneck", POINTWISE),
    Rule(f"{_LAYER}/cam_layer/linear_local/Conv:weight", "block{b}_{i}/local/kernel", CONV1D),
    *_conv(f"{_LAYER}/cam_layer/linear1", "block{b}_{i}/context1", POINTWISE),
    *_conv(f"{_LAYER}/cam_layer/linear2", "block{b}_{i}/context2", POINTWISE),
    *_batch_norm("/xvector/transit{b}/nonlinear", "transit{b}/norm"),
    *_conv("/xvector/transit{b}/linear", "transit{b}/linear", POINTWISE),
    *_conv("/xvector/dense/linear", "dense/linear", POINTWISE),
    *_batch_norm("/xvector/dense/nonlinear", "dense/norm"),
)
