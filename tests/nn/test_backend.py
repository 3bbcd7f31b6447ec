"""Programs take the way of the platform they are lowered for, not that of the machine they are lowered on."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.batch.pipeline import Settings
from cosy_jax.flow.cfm import FlowInputs, solve
from cosy_jax.llm.context import ContextBatch
from cosy_jax.llm.decode import generate
from cosy_jax.nn import attention, backend
from cosy_jax.nn.attention import attend
from cosy_jax.nn.int8 import product, quantise
from cosy_jax.nn.precision import BFLOAT16, FLOAT32, INT8
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.vocode import decode, excite
from tests.conftest import TINY
from tests.reference import REPOSITORY

PLATFORMS = ("cpu", "cuda", "tpu")

# What only the CPU's ways have in the StableHLO of the tiny model, by what they are: 64 positions of prompt and 32 new
# ones, 2 key/value heads of 16. An operation that spans lines has its types in the last one.
_CACHE_WRITTEN_BY_SELECT = r"stablehlo\.select [^\n]*tensor<\d+x2x96x16xi1>"
_SECOND_ROW = r"stablehlo\.pad [^\n]*\(tensor<1x\d+xf32>, tensor<f32>\) -> tensor<2x\d+xf32>"
_PAIR_OF_INTEGERS = r"stablehlo\.dot_general [^\n]*\(tensor<2x\d+xi8>, tensor<\d+x\d+xi8>\)"
_ROWS_IN_GROUPS = r"stablehlo\.reshape [^\n]*\(tensor<12x64xi32>\) -> tensor<2x6x64xi32>"
_CPU_WAYS = (_CACHE_WRITTEN_BY_SELECT, _SECOND_ROW, _PAIR_OF_INTEGERS, _ROWS_IN_GROUPS)
_CACHE_WRITTEN_BY_SCATTER = r"\(tensor<\d+x2x96x16x\w+>, tensor<\d+x3xi32>, tensor<\d+x2x1x16x\w+>\) -> tensor"
_LOOP = r"stablehlo\.while"


def found(text, *patterns):
    return {pattern for pattern in patterns if re.search(pattern, text)}


def generate_arguments(precision, batch=1, new=1):
    synthesizer = Synthesizer(TINY, llm="base", precision=precision)
    count = jnp.full(batch, new)
    contexts = ContextBatch(
        jnp.ones((batch, 64), jnp.int32), jnp.zeros((batch, 64), bool), jnp.full(batch, 64), count, count
    )
    policy, keys = synthesizer.policy(), jax.random.split(jax.random.key(0), batch)
    return (synthesizer.params("llm"), policy.cache(batch, 96), contexts, keys), dict(policy=policy, bucket=32)


def traced_solve(synthesizer, precision):
    inputs = FlowInputs(
        tokens=jnp.zeros((1, 25), jnp.int32),
        lengths=jnp.asarray([25]),
        prompt_mel=jnp.zeros((1, 50, 80)),
        prompt_frames=jnp.asarray([10]),
        speaker=jnp.ones((1, 192)),
        noise=jnp.zeros((50, 80)),
    )
    return solve.trace(synthesizer.params("flow"), inputs, config=synthesizer.config.flow, precision=precision)


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize(
    ("precision", "batch", "ways"),
    [
        (FLOAT32, 1, set()),
        (BFLOAT16, 1, {_CACHE_WRITTEN_BY_SELECT, _SECOND_ROW}),
        (INT8, 1, {_CACHE_WRITTEN_BY_SELECT, _PAIR_OF_INTEGERS}),
        (BFLOAT16, 12, {_CACHE_WRITTEN_BY_SELECT, _ROWS_IN_GROUPS}),
    ],
    ids=["float32", "bfloat16", "int8", "twelve_rows"],
)
def test_decode_loop(platform, precision, batch, ways):
    arguments, static = generate_arguments(precision, batch)
    text = generate.trace(*arguments, **static).lower(lowering_platforms=(platform,)).as_text()
    assert found(text, *_CPU_WAYS) == (ways if platform == "cpu" else set())
    assert bool(found(text, _CACHE_WRITTEN_BY_SCATTER)) == (platform != "cpu" or precision is FLOAT32)


@pytest.mark.parametrize("precision", [FLOAT32, BFLOAT16], ids=lambda precision: precision.name)
def test_flow(monkeypatch, synthesizer, precision):
    """A CPU's attention loops over the heads, inside the loop over the Euler steps; a TPU over the taps of lookahead's
    two convolutions; cuDNN is not even asked, since this machine has no GPU."""
    monkeypatch.setattr(attention, "_cudnn_takes", lambda *shapes: pytest.fail("cuDNN was asked"))
    traced = traced_solve(synthesizer, precision)
    loops = {p: len(re.findall(_LOOP, traced.lower(lowering_platforms=(p,)).as_text())) for p in PLATFORMS}
    assert loops["cpu"] > loops["cuda"] == 1 and loops["tpu"] == 3


def test_vocoder_is_the_same_but_for_a_tpus_taps(synthesizer):
    mel, frames, config = jnp.zeros((1, 20, 80)), jnp.asarray([20]), synthesizer.config.vocoder
    f0, sines = jnp.zeros((1, 20)), jnp.zeros((1, 20, config.harmonics))
    noise = jnp.zeros((20 * config.samples_per_frame, config.harmonics))
    final = jnp.ones(1, bool)
    traced = decode.trace(synthesizer.params("vocoder"), mel, frames, f0, sines, noise, final, config=config)
    cpu, cuda, tpu = (traced.lower(lowering_platforms=(platform,)).as_text() for platform in PLATFORMS)
    convolutions = [len(re.findall(r"stablehlo\.convolution", text)) for text in (cpu, cuda, tpu)]
    assert convolutions[0] == convolutions[1] > convolutions[2]
    assert len(re.findall(_LOOP, cpu)) == len(re.findall(_LOOP, cuda)) < len(re.findall(_LOOP, tpu))


def test_exported_program_takes_its_platforms_way():
    arguments, static = generate_arguments(INT8)
    text = {p: str(jax.export.export(generate, platforms=[p])(*arguments, **static).mlir_module()) for p in PLATFORMS}
    assert found(text["cpu"], *_CPU_WAYS) == {_CACHE_WRITTEN_BY_SELECT, _PAIR_OF_INTEGERS}
    assert not found(text["tpu"], *_CPU_WAYS) and not found(text["cuda"], *_CPU_WAYS)


def test_no_other_module_asks_for_the_default_backend():
    sources = [path for part in ("cosy_jax", "conversions", "benchmarks") for path in (REPOSITORY / part).rglob("*.py")]
    asking = [path for path in sources if "default_backend" in path.read_text()]
    assert asking == [REPOSITORY / "cosy_jax" / "nn" / "backend.py"]


@pytest.mark.slow
def test_ids_do_not_depend_on_the_way():
    def ids():
        arguments, static = generate_arguments(FLOAT32, new=8)
        return np.asarray(generate(*arguments, **static).tokens[0, :8])

    expected = ids()
    with backend.pretend("tpu"):
        np.testing.assert_array_equal(ids(), expected)
    assert np.all(expected >= 0)


@pytest.mark.parametrize("platform", ["gpu", "tpu"])
def test_products_of_one_row_agree(platform):
    """In bfloat16; the pair of integers that stands for an int8 product on a CPU keeps more bits, so less closely."""
    random = np.random.default_rng(0)
    row, kernel = jnp.asarray(random.standard_normal((1, 1, 64), np.float32)), random.standard_normal((48, 64))
    values, scale = map(jnp.asarray, quantise(kernel))
    for one_row, limit in (
        (lambda row: BFLOAT16.linear(row, jnp.asarray(kernel)), 1e-6),
        (lambda row: product(row, values, scale, INT8), 2e-2),
    ):
        ours = jax.jit(one_row)(row)
        with backend.pretend(platform):
            theirs = jax.jit(one_row)(row)
        assert ours.shape == theirs.shape == (1, 1, 48)
        assert np.abs(ours - theirs).max() <= limit * np.abs(ours).max()


def test_derivatives_pass_through():
    """Training differentiates the flow."""
    random = np.random.default_rng(0)
    query, key, value = (jnp.asarray(random.standard_normal((1, 8, 2, 4), np.float32)) for _ in range(3))
    mask = jnp.ones((1, 1, 8), bool)

    def loss(x):
        return jnp.sum(jnp.square(attend(x, key, value, mask, FLOAT32)))

    ours = jax.jit(jax.grad(jax.checkpoint(loss)))(query)
    with backend.pretend("tpu"):
        plain = jax.jit(jax.grad(loss))(query)
    assert np.abs(plain).max() > 1e-3
    np.testing.assert_allclose(ours, plain, atol=1e-6)


def test_pretended_platform_ends_with_the_block():
    @jax.jit
    def way(x):
        return backend.by_platform(x, cpu=lambda x: x + 1, cuda=lambda x: x + 2, other=lambda x: x + 3)

    assert int(way(0)) == 1 and backend.host_platform() == "cpu"
    for platform, value in (("gpu", 2), ("tpu", 3)):
        with backend.pretend(platform):
            assert int(way(0)) == value and backend.host_platform() == platform
    assert int(way(0)) == 1


def test_host_chooses_rows_by_platform():
    assert Settings.default().flow_rows == 1
    with backend.pretend("gpu"):
        assert Settings.default().flow_rows == 16 and Settings.default().batching.rows == 64


def test_float64_of_a_tpu_runs_on_its_host(synthesizer):
    """The same numbers, and none of them bound to the host's CPU: the next program would run there too."""
    mel = jnp.asarray(np.random.default_rng(0).normal(-4, 2, (1, 20, 80)).astype(np.float32))
    arguments = (synthesizer.params("vocoder"), mel, jnp.asarray([20]), synthesizer.config.vocoder)
    expected = excite(*arguments)
    with backend.pretend("tpu"):
        ours = excite(*arguments)
    for a, b in zip(ours, expected, strict=True):
        assert isinstance(a, np.ndarray) and a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)
    assert ours[0].dtype == np.float64
