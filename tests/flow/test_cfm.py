"""The flow on the tiny model, and its time grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.flow.cfm import FlowInputs, attention_mask, solve, time_steps
from cosy_jax.flow.dit import DiT, rotate_first_head
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.nn.rotary import rotation


def test_time_grid_is_the_cosine_schedule():
    times, sizes = time_steps(10)
    exact = 1 - np.cos(np.pi / 2 * np.arange(11) / 10)
    np.testing.assert_allclose(times, exact[:-1], atol=2e-7)
    np.testing.assert_allclose(sizes, np.diff(exact), atol=4e-7)
    assert times.dtype == sizes.dtype == np.float32


def test_chunked_mask_ends_at_the_queries_own_chunk():
    mask = np.asarray(attention_mask(jnp.asarray([5]), 6, 2))[0]
    assert mask[0].tolist() == [True, True, False, False, False, False]
    assert mask[3].tolist() == [True, True, True, True, False, False]
    assert mask[4].tolist() == [True, True, True, True, True, False]  # frame 5 is padding


def test_only_the_first_head_is_rotated():
    x = np.random.default_rng(0).standard_normal((1, 7, 3, 8), np.float32)
    rotated = np.asarray(rotate_first_head(jnp.asarray(x), *rotation(jnp.arange(7), 8, 1e4)))
    np.testing.assert_array_equal(rotated[:, :, 1:], x[:, :, 1:])
    np.testing.assert_allclose(
        np.linalg.norm(rotated[:, :, 0], axis=-1), np.linalg.norm(x[:, :, 0], axis=-1), rtol=1e-5
    )
    assert np.abs(rotated[0, 1:, 0] - x[0, 1:, 0]).max() > 0.1


@pytest.fixture
def solve_row(synthesizer):
    random = np.random.default_rng(0)
    tokens = random.integers(0, 6561, 40).astype(np.int32)
    noise = random.standard_normal((200, 80), np.float32)

    def run(length, size, **options):
        inputs = FlowInputs(
            tokens=jnp.asarray(np.pad(tokens[:length], (0, size - length), constant_values=17))[None],
            lengths=jnp.asarray([length]),
            prompt_mel=jnp.full((1, 2 * size, 80), -3.0),
            prompt_frames=jnp.asarray([20]),
            speaker=jnp.ones((1, 192)),
            noise=jnp.asarray(noise[: 2 * size]),
        )
        mel, condition, _ = solve(synthesizer.params("flow"), inputs, config=synthesizer.config.flow, **options)
        return np.asarray(mel)[0, : int(condition.frames[0])]

    return run


@pytest.mark.slow
@pytest.mark.parametrize("streaming", [False, True])
def test_padding_changes_nothing(solve_row, streaming):
    alone, padded = solve_row(31, 31, streaming=streaming), solve_row(31, 47, streaming=streaming)
    assert np.abs(alone - padded).max() <= 1e-5 * np.abs(alone).max()


@pytest.mark.slow
def test_unfinished_row_ends_before_its_lookahead(solve_row):
    whole = solve_row(40, 40, streaming=True)
    part = solve_row(28, 28, streaming=True, finalize=False)
    assert len(part) == 2 * (28 - 3)
    # Chunk-masked attention: frames of a finished chunk do not change when more tokens come.
    assert np.abs(part[:50] - whole[:50]).max() <= 1e-5 * np.abs(whole).max()


@pytest.mark.slow
def test_rows_at_times_of_their_own_are_each_what_it_is_alone(synthesizer):
    """Training draws a time for each row; the solver has one for all."""
    config, random = synthesizer.config.flow, np.random.default_rng(0)
    params = {"params": synthesizer.params("flow")["dit"]}
    x, cond, mu = (jnp.asarray(random.standard_normal((3, 20, 80), np.float32)) for _ in range(3))
    speaker, mask = jnp.asarray(random.standard_normal((3, 80), np.float32)), jnp.ones((1, 1, 20), bool)
    times = jnp.asarray([0.1, 0.55, 0.9])

    @jax.jit
    def velocity(times, x, cond, mu, speaker):
        model = DiT(config, FLOAT32)
        modulation = model.apply(params, times, method="modulations")
        return model.apply(params, x, cond, mu, speaker, modulation, mask)[0]

    together = np.asarray(velocity(times, x, cond, mu, speaker))
    for row in range(3):
        one = slice(row, row + 1)
        alone = np.asarray(velocity(times[one], x[one], cond[one], mu[one], speaker[one]))[0]
        assert np.abs(together[row] - alone).max() <= 1e-5 * np.abs(alone).max()
    shared = np.asarray(velocity(times[:1], x, cond, mu, speaker))
    assert np.abs(together[0] - shared[0]).max() <= 1e-5 * np.abs(shared[0]).max()
    assert np.abs(together[1] - shared[1]).max() > 0.01 * np.abs(shared[1]).max()
