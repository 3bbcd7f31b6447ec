"""hift.pt: the F0 predictor and the vocoder. Weight norm is folded into the kernels."""

from ..mapping import Ignore, Rule
from ..transforms import CONV1D, WEIGHT_NORM

PREFIX = "generator."  # training saves generator and discriminator in one module

_F0_LAYERS = 5


def _conv(source: str, target: str) -> tuple[Rule, ...]:
    """A convolution with weight norm in the spellings of torch >= 2.0 and before, and without it."""
    g_and_v = f"{source}.parametrizations.weight.original"
    return (
        Rule((f"{g_and_v}0", f"{g_and_v}1"), f"{target}/kernel", WEIGHT_NORM),
        Rule((f"{source}.weight_g", f"{source}.weight_v"), f"{target}/kernel", WEIGHT_NORM),
        *_plain_conv(source, target),
    )


def _plain_conv(source: str, target: str) -> tuple[Rule, ...]:
    return Rule(f"{source}.weight", f"{target}/kernel", CONV1D), Rule(f"{source}.bias", f"{target}/bias")


def _resblock(name: str) -> tuple[Rule, ...]:
    return tuple(
        rule
        for half in (1, 2)
        for rule in (
            *_conv(f"{name}.{{i}}.convs{half}.{{j}}", f"{name}_{{i}}/conv{half}_{{j}}"),
            Rule(f"{name}.{{i}}.activations{half}.{{j}}.alpha", f"{name}_{{i}}/snake{half}_{{j}}/alpha"),
        )
    )


RULES: tuple[Rule | Ignore, ...] = (
    # The odd entries of condnet are activations.
    *(rule for i in range(_F0_LAYERS) for rule in _conv(f"f0_predictor.condnet.{2 * i}", f"f0_predictor/conv_{i}")),
    Rule("f0_predictor.classifier.weight", "f0_predictor/classifier/kernel"),
    Rule("f0_predictor.classifier.bias", "f0_predictor/classifier/bias"),
    Rule("m_source.l_linear.weight", "source/linear/kernel"),
    Rule("m_source.l_linear.bias", "source/linear/bias"),
    *_conv("conv_pre", "conv_pre"),
    *_conv("ups.{i}", "ups_{i}"),
    *_plain_conv("source_downs.{i}", "source_downs_{i}"),  # the only convolutions without weight norm
    *_resblock("source_resblocks"),
    *_resblock("resblocks"),
    *_conv("conv_post", "conv_post"),
)
