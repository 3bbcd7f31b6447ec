"""Training parity: what the capture and the check share, and how errors are judged."""

from pathlib import Path

import numpy as np

from cosy_jax.conversions.capture.training import sketch as captured
from cosy_jax.nn.precision import FLOAT32, FLOAT64
from cosy_jax.parity import sketch
from cosy_jax.parity.checks import training_vocoder
from cosy_jax.parity.checks.training_names import generator_values
from cosy_jax.parity.dumps import Dump
from cosy_jax.train.vocoder.weight_norm import unfold


def test_both_sides_draw_alike():
    values = np.random.default_rng(0).standard_normal((7, 5))
    np.testing.assert_array_equal(sketch.sketch("a.weight", values), captured.sketch("a.weight", values))
    ours, theirs = (side.seeded_weights("a.weight", (3, 4), 12) for side in (sketch, captured))
    np.testing.assert_array_equal(ours, theirs)
    assert np.abs(ours).max() < 12**-0.5 and ours.dtype == np.float32


def test_a_sketch_tells_the_size_of_an_error():
    random = np.random.default_rng(0)
    truth, error = random.standard_normal((2, 5000))
    estimates = []
    for index in range(50):
        rows = [sketch.sketch(f"parameter {index}", each) for each in (truth + 1e-6 * error, truth)]
        estimates.append(np.sqrt(np.mean((rows[0] - rows[1]) ** 2)) / (1e-6 * np.linalg.norm(error)))
    assert 0.9 < np.mean(estimates) < 1.1 and min(estimates) > 0.4 and max(estimates) < 1.8


def test_names_are_the_reference_s(synthesizer):
    values = generator_values(unfold(synthesizer.params("vocoder")))
    assert len(values) == 328
    assert values["conv_pre.weight_v"].shape == (32, 80, 5) and values["conv_pre.weight_g"].shape == (32,)
    assert values["source_downs.1.weight"].shape[1] == 18 and "source_downs.1.weight_v" not in values
    assert "f0_predictor.condnet.8.weight_g" in values and "m_source.l_linear.weight" in values


def test_the_worst_gradient_decides():
    random = np.random.default_rng(0)
    truth = {name: random.standard_normal((20, 3)) for name in ("a", "b", "c")}
    rows = np.stack([sketch.sketch(name, values) for name, values in truth.items()])
    norms = np.asarray([np.linalg.norm(values) for values in truth.values()])
    theirs = rows * (1 + 1e-6)  # the reference's float32
    dump = Dump(Path("d"), {"g_gradients": theirs, "g_gradients_f64": rows, "g_gradient_norms": norms})

    def check(name, factor, precision):
        return training_vocoder._worst("g_gradient", {**truth, name: truth[name] * factor}, dump, precision)

    assert check("b", 1.0, FLOAT64).max_abs == 0
    missed = check("b", 1 + 4e-5, FLOAT64)
    assert not missed.ok and missed.note.startswith("b;") and 1e-5 < missed.max_abs < 1e-4
    dump["g_gradients"] = rows * (1 + 4e-5)
    assert check("c", 1 + 4e-5, FLOAT32).ok and not check("c", 1 + 4e-4, FLOAT32).ok
    assert not check("c", 1 + 4e-5, FLOAT64).ok and not check("c", np.nan, FLOAT64).ok
    assert not training_vocoder._worst("g_gradient", {"a": truth["a"]}, dump, FLOAT64).ok


def test_losses_are_held_to_float64():
    dump = Dump(Path("d"), {"g_mel": np.asarray([2.00001]), "g_mel_f64": np.asarray([2.0])})
    assert not training_vocoder._loss_check("g_mel", 2.00001, dump, FLOAT64).ok
    assert training_vocoder._loss_check("g_mel", 2.00001, dump, FLOAT32).ok
    assert training_vocoder._loss_check("g_mel", 2.000001, dump, FLOAT64).ok
    assert not training_vocoder._loss_check("g_mel", np.nan, dump, FLOAT32).ok
