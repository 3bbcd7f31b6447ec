"""One training step: the discriminators', then the generator's on the same batch.

B batch, S samples, T mel frames, M mel bands, H harmonics.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from cosy_jax.config import VocoderConfig
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.train.vocoder.config import AdamConfig, GanConfig
from cosy_jax.train.vocoder.discriminators import Discriminators
from cosy_jax.train.vocoder.generator import generate
from cosy_jax.train.vocoder.losses import Batch, Terms, d_loss, g_loss
from cosy_jax.train.vocoder.weight_norm import fold, unfold
from cosy_jax.vocoder.hift import HiFT


class GanState(NamedTuple):
    """The trained parameters, with weight norm, and both optimisers' states."""

    generator: dict
    discriminators: dict
    generator_adam: optax.OptState
    discriminator_adam: optax.OptState


class Draws(NamedTuple):
    """The source's normal noise (B, S, H) in either step: the generator runs in both, each time with its own."""

    discriminator: jax.Array
    generator: jax.Array


def draws(key: jax.Array, batch: Batch, config: GanConfig) -> Draws:
    """All random numbers of a step on that batch."""
    shape = (*batch.speech.shape, config.vocoder.harmonics)
    first, second = jax.random.split(key)
    return Draws(jax.random.normal(first, shape, batch.speech.dtype), jax.random.normal(second, shape))


def optimiser(config: AdamConfig) -> optax.GradientTransformation:
    """Adam behind a clipped norm.

    The norm is that of the parameters it is given; the reference clips the generator by a norm into which the
    discriminators' gradients of the generator's loss go, too.
    """
    adam = optax.adam(config.learning_rate, b1=config.b1, b2=config.b2)
    return optax.chain(optax.clip_by_global_norm(config.clip_norm), adam)


def init_state(key: jax.Array, config: GanConfig, vocoder: dict | None = None) -> GanState:
    """A state that goes on from a converted folder's vocoder parameters, or starts from random ones.

    Released weights hold no discriminators: they are always random.
    """
    first, second = jax.random.split(key)
    generator = unfold(vocoder if vocoder is not None else random_generator(first, config.vocoder))
    discriminators = unfold(random_discriminators(second, config))
    return GanState(
        generator,
        discriminators,
        optimiser(config.generator_adam).init(generator),
        optimiser(config.discriminator_adam).init(discriminators),
    )


@functools.partial(jax.jit, static_argnames=("config", "precision"), donate_argnames="state")
def step(
    state: GanState, batch: Batch, noise: Draws, *, config: GanConfig, precision: Precision = FLOAT32
) -> tuple[GanState, Terms]:
    """The state after both updates, and each loss: `d_loss`, `g_loss`, and their terms behind `d_` and `g_`; with
    `d_norm` and `g_norm` of the gradients before they were clipped."""
    fake = generate(fold(state.generator), batch.mel, noise.discriminator, config.vocoder, precision).audio
    (d_value, d_terms), d_gradient = jax.value_and_grad(d_loss, has_aux=True)(
        state.discriminators, batch.speech, fake, config, precision
    )
    d_update, d_adam = optimiser(config.discriminator_adam).update(d_gradient, state.discriminator_adam)
    discriminators = optax.apply_updates(state.discriminators, d_update)
    (g_value, g_terms), g_gradient = jax.value_and_grad(g_loss, has_aux=True)(
        state.generator, discriminators, batch, noise.generator, config, precision
    )
    g_update, g_adam = optimiser(config.generator_adam).update(g_gradient, state.generator_adam)
    generator = optax.apply_updates(state.generator, g_update)
    norms = {"d_norm": optax.global_norm(d_gradient), "g_norm": optax.global_norm(g_gradient)}
    terms = {f"d_{name}": value for name, value in d_terms.items()} | {f"g_{n}": v for n, v in g_terms.items()}
    metrics = {"d_loss": d_value, "g_loss": g_value, **terms, **norms}
    return GanState(generator, discriminators, g_adam, d_adam), metrics


def random_generator(key: jax.Array, config: VocoderConfig) -> dict:
    """The vocoder's parameters, drawn as torch draws those of fresh layers."""
    mel = jnp.zeros((1, config.lookahead, config.mel_bands))
    shapes = jax.eval_shape(HiFT(config, FLOAT32, FLOAT32).init, key, mel)["params"]
    return _draw(_host_generator(key), shapes)


def random_discriminators(key: jax.Array, config: GanConfig) -> dict:
    """The discriminators' parameters, drawn as torch draws those of fresh layers."""
    audio = jnp.zeros((1, config.segment_samples))
    shapes = jax.eval_shape(Discriminators(config.discriminators).init, key, audio)["params"]
    return _draw(_host_generator(key), shapes)


def _host_generator(key: jax.Array) -> np.random.Generator:
    # On the host, as jax.random would compile a program for each shape among hundreds of parameters.
    return np.random.default_rng(np.asarray(jax.random.key_data(key)))


def _draw(random: np.random.Generator, shapes: dict) -> dict:
    """Kernels and biases uniform within 1 / sqrt(fan-in), all else ones; float32."""
    drawn: dict[str, Any] = {}
    for name, shape in sorted(shapes.items()):
        if isinstance(shape, dict):
            drawn[name] = _draw(random, shape)
        elif name in ("kernel", "bias"):
            bound = _bound(shapes["kernel"].shape)
            drawn[name] = jnp.asarray(random.uniform(-bound, bound, shape.shape), jnp.float32)
        else:
            drawn[name] = jnp.ones(shape.shape)
    return drawn


def _bound(shape: tuple[int, ...]) -> float:
    # Linear kernels are (out, in), those of convolutions (taps, in, out).
    return 1 / math.sqrt(shape[1] if len(shape) == 2 else math.prod(shape[:-1]))
