from pathlib import Path

import numpy as np
import pytest

from cosy_jax.checkpoint.reader import flat_shapes
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.conversions.mapping import Ignore, Rule, match_target, plan
from cosy_jax.conversions.rules import STAGE_RULES
from cosy_jax.conversions.source import LazyTensor
from cosy_jax.conversions.transforms import CONV1D, CONV2D, IDENTITY, MATMUL, POINTWISE, WEIGHT_NORM
from cosy_jax.errors import CosyError
from tests.conversions.release import CONFIG, largest_error, lazy, random_params, released

STAGES = tuple(STAGE_RULES)


def convert(stage, tensors):
    """Our parameters out of tensors under released names."""
    rules = STAGE_RULES[stage]
    shapes = flat_shapes(expected_shapes(stage, CONFIG))
    parameters = plan(Path("weights.pt"), lazy(tensors), rules.rules, shapes, rules.prefix)
    return {parameter.name: parameter.read() for parameter in parameters}


@pytest.mark.parametrize("stage", STAGES)
def test_rules_and_their_inverse_meet(stage):
    params = random_params(stage)
    found = convert(stage, released(stage, params))
    assert largest_error(found, params) <= (1e-6 if stage == "vocoder" else 0)
    assert all(values.dtype == np.float32 for values in found.values())


@pytest.mark.parametrize("stage", STAGES)
def test_every_rule_is_needed(stage):
    names = random_params(stage)
    for rule in STAGE_RULES[stage].rules:
        assert (
            isinstance(rule, Ignore)
            or any(match_target(rule, name) is not None for name in names)
            or (
                # The last batch norm has no affine part; one helper writes the rules of all batch norms. The
                # convolution before it and the last but one transition have no bias.
                rule.target in ("dense/norm/scale", "dense/norm/bias", "dense/linear/bias")
            )
        )


@pytest.mark.parametrize("stage, spelling", [("vocoder", 1), ("vocoder", 2), ("speech_tokenizer", 1)])
def test_other_spellings(stage, spelling):
    params = random_params(stage)
    first, other = released(stage, params), released(stage, params, spelling)
    assert first.keys() != other.keys()
    assert largest_error(convert(stage, other), params) <= 1e-6


def test_prefix_of_the_vocoder():
    params = random_params("vocoder")
    tensors = {f"generator.{name}": values for name, values in released("vocoder", params).items()}
    assert largest_error(convert("vocoder", tensors), params) <= 1e-6


@pytest.mark.parametrize("stage", STAGES)
def test_both_sides_of_a_difference_are_listed(stage):
    tensors = released(stage, random_params(stage))
    names = [name for name in tensors if "lm_head" not in name and "inv_freq" not in name]
    lost, reshaped = names[0], names[-1]
    tensors["surprise.weight"] = tensors.pop(lost)
    tensors[reshaped] = np.zeros((7, *tensors[reshaped].shape), np.float32)
    with pytest.raises(CosyError) as caught:
        convert(stage, tensors)
    message = str(caught.value)
    shape = tensors["surprise.weight"].shape
    assert f"expected, not in the file: {lost} {shape}" in message
    assert f"in the file, not expected: surprise.weight {shape}" in message
    assert f"{reshaped} is {tensors[reshaped].shape}, should be {tensors[reshaped].shape[1:]}" in message


def test_long_differences_are_counted():
    with pytest.raises(CosyError, match=r"; and \d+ more"):
        convert("llm", {})


def test_duplicates_are_refused():
    params = random_params("vocoder")
    tensors = released("vocoder", params)
    with pytest.raises(CosyError, match=r"given twice: conv_pre\..*original0 and .*conv_pre.weight_g"):
        convert("vocoder", {**tensors, "conv_pre.weight_g": np.ones((16, 1, 1), np.float32)})
    with pytest.raises(CosyError, match="given twice: conv_pre.bias"):
        convert("vocoder", {**tensors, "generator.conv_pre.bias": tensors["conv_pre.bias"]})


def test_whole_numbers_are_refused():
    tensors = released("llm", random_params("llm"))
    tensors["llm_decoder.weight"] = tensors["llm_decoder.weight"].astype(np.int32)
    with pytest.raises(CosyError, match="not floating point: llm_decoder.weight is int32"):
        convert("llm", tensors)


def test_half_precision_sources_are_widened():
    params = random_params("vocoder")
    tensors = {name: values.astype(np.float16) for name, values in released("vocoder", params).items()}
    assert largest_error(convert("vocoder", tensors), params) <= 5e-3


def test_other_rotary_frequencies_are_refused():
    tensors = released("flow", random_params("flow"))
    name = "decoder.estimator.rotary_embed.inv_freq"
    tensors[name] = tensors[name] * np.float32(1 + 1e-5)
    with pytest.raises(CosyError, match="are not the rotary frequencies of base 10000"):
        convert("flow", tensors)


def test_what_is_only_checked_is_not_read_at_any_size():
    def read():
        raise AssertionError("read")

    tensors = lazy(released("flow", random_params("flow")))
    tensors["decoder.estimator.rotary_embed.inv_freq"] = LazyTensor((2**30,), np.dtype(np.float32), read)
    with pytest.raises(CosyError, match=r"inv_freq' has shape \(1073741824,\)"):
        plan(Path("flow.pt"), tensors, STAGE_RULES["flow"].rules, flat_shapes(expected_shapes("flow", CONFIG)))


@pytest.mark.parametrize(
    "transform, shape",
    [
        (IDENTITY, (3, 4)),
        (MATMUL, (3, 4)),
        (CONV1D, (5, 3, 4)),
        (CONV2D, (2, 3, 4, 5)),
        (POINTWISE, (3, 4)),
        (WEIGHT_NORM, (5, 3, 4)),
    ],
)
def test_transforms_invert(transform, shape):
    ours = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    sources = transform.inverse(ours)
    assert tuple(source.shape for source in sources) == transform.source_shapes(shape)
    np.testing.assert_allclose(transform.forward(*sources), ours, rtol=1e-6)


def test_weight_norm_is_folded_in_float64():
    rng = np.random.default_rng(0)
    g = rng.uniform(0.5, 2, (4, 1, 1)).astype(np.float32)
    v = rng.standard_normal((4, 512, 11)).astype(np.float32)
    exact = g * v.astype(np.float64) / np.sqrt((v.astype(np.float64) ** 2).sum((1, 2), keepdims=True))
    np.testing.assert_array_equal(WEIGHT_NORM.forward(g, v), exact.astype(np.float32).transpose(2, 1, 0))


def test_a_parameter_without_a_rule_is_a_bug():
    with pytest.raises(ValueError, match="no rule makes 'b'"):
        plan(Path("weights.pt"), {}, (Rule("a", "a"),), {"b": (1,)})


def test_numbers_in_patterns():
    rule = Rule("a.{n+1}.b", "ours_{n}/b")
    assert match_target(rule, "ours_12/b") == {"n": 12}
    assert match_target(rule, "ours_x/b") is None and match_target(rule, "ours_1/bb") is None
