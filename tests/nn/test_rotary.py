"""Rotary positions in both layouts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.nn.rotary import frequencies, rotate_half, rotate_interleaved, rotation

# The bits of (1 / (theta ** (torch.arange(0, 64, 2).float() / 64))) in torch 2.13.0.
TORCH = {
    1e6: [
        1065353216, 1059470816, 1054337179, 1049376004, 1043732615, 1038909398, 1033475085, 1028093503, 1023510243,
        1017657739, 1012562930, 1007542573, 1001931932, 997151246, 991652109, 986306396, 981668463, 975846212,
        970790693, 965710450, 960132947, 955395298, 949830564, 944521150, 939827890, 934036253, 929020495,
        923879651, 918335681, 913641584, 908010468, 902737785,
    ],
    1e4: [
        1065353216, 1061157137, 1058010522, 1054337179, 1050798235, 1047712803, 1043732615, 1040747895, 1036831949,
        1033475085, 1030116802, 1026341397, 1023510243, 1019364175, 1016180025, 1012562930, 1008981770, 1005959600,
        1001931932, 998911607, 995049016, 991652109, 988353832, 984533390, 981668463, 977573004, 974350870,
        970790693, 967166816, 964208661, 960132947, 957076594,
    ],
}  # fmt: skip


@pytest.mark.parametrize("theta", TORCH)
def test_frequencies_are_torchs_to_the_last_bit(theta):
    assert frequencies(64, theta).view(np.int32).tolist() == TORCH[theta]
    cos, sin = jax.jit(lambda positions: rotation(positions, 64, theta))(jnp.arange(3))
    angles = np.arange(3)[:, None] * frequencies(64, theta).astype(np.float64)
    np.testing.assert_allclose(cos, np.cos(angles), atol=2e-7)
    np.testing.assert_allclose(sin, np.sin(angles), atol=2e-7)


@pytest.mark.parametrize("rotate", [rotate_half, rotate_interleaved])
def test_products_depend_on_the_distance_alone(rotate):
    query, key = np.random.default_rng(0).standard_normal((2, 64), np.float32)
    turn = rotation(jnp.arange(40), 64, 10000.0)
    queries, keys = (np.asarray(rotate(jnp.broadcast_to(x, (40, 1, 64)), *turn))[:, 0] for x in (query, key))
    np.testing.assert_allclose(queries[3] @ keys[10], queries[23] @ keys[30], rtol=1e-4)
    np.testing.assert_array_equal(queries[0], query)
    assert abs(queries[3] @ keys[10] - queries[3] @ keys[11]) > 1e-3


def test_layouts_are_one_rotation_of_other_channels():
    x = np.random.default_rng(0).standard_normal((2, 5, 3, 8), np.float32)
    turn = rotation(jnp.arange(5), 8, 10000.0)
    interleaved = np.asarray(rotate_interleaved(jnp.asarray(x), *turn))
    halves = np.asarray(rotate_half(jnp.asarray(np.concatenate([x[..., 0::2], x[..., 1::2]], axis=-1)), *turn))
    np.testing.assert_array_equal(interleaved[..., 0::2], halves[..., :4])
    np.testing.assert_array_equal(interleaved[..., 1::2], halves[..., 4:])


def test_rows_may_stand_at_positions_of_their_own():
    x = np.random.default_rng(0).standard_normal((2, 3, 2, 8), np.float32)
    positions = jnp.asarray([[0, 1, 2], [7, 8, 9]])
    together = rotate_half(jnp.asarray(x), *rotation(positions, 8, 1e4))
    for row in range(2):
        np.testing.assert_array_equal(
            together[row], rotate_half(jnp.asarray(x[row]), *rotation(positions[row], 8, 1e4))
        )
