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
from cosy_jax.train.vocoder.spectra import Array
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

    discriminator: Array
    generator: Array


def draws(key: jax.Array, batch: Batch, config: GanConfig) -> Draws:
    """All random numbers of a step on that batch."""
    shape = (*batch.speech.shape, config.vocoder.harmonics)
    first, second = jax.random.split(key)
    return Draws(*(jax.random.normal(each, shape, batch.speech.dtype) for each in (first, second)))


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
    return with_adams(generator, discriminators, config)


@functools.partial(jax.jit, static_argnames=("config",))
def with_adams(generator: dict, discriminators: dict, config: GanConfig) -> GanState:
    """The state of these trained parameters before the first step."""
    g_adam = optimiser(config.generator_adam).init(generator)
    return GanState(generator, discriminators, g_adam, optimiser(config.discriminator_adam).init(discriminators))


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def d_gradients(
    d_params: dict,
    g_params: dict,
    batch: Batch,
    noise: Array,
    *,
    config: GanConfig,
    precision: Precision = FLOAT32,
) -> tuple[tuple[jax.Array, Terms], dict]:
    """`d_loss` of what the generator makes of the batch with noise (B, S, H), and its gradient."""
    fake = generate(fold(g_params), batch.mel, noise, config.vocoder, precision).audio
    return jax.value_and_grad(d_loss, has_aux=True)(d_params, batch.speech, fake, config, precision)


@functools.partial(jax.jit, static_argnames=("config", "precision"))
def g_gradients(
    g_params: dict,
    d_params: dict,
    batch: Batch,
    noise: Array,
    *,
    config: GanConfig,
    precision: Precision = FLOAT32,
) -> tuple[tuple[jax.Array, Terms], dict]:
    """`g_loss` and its gradient."""
    return jax.value_and_grad(g_loss, has_aux=True)(g_params, d_params, batch, noise, config, precision)


@functools.partial(jax.jit, static_argnames=("config",))
def update(
    params: dict, gradient: dict, adam: optax.OptState, *, config: AdamConfig
) -> tuple[dict, optax.OptState, jax.Array]:
    """The parameters a step further, the optimiser's state, and the gradient's norm before it was clipped."""
    change, adam = optimiser(config).update(gradient, adam)
    return optax.apply_updates(params, change), adam, optax.tree.norm(gradient)


def step(
    state: GanState, batch: Batch, noise: Draws, *, config: GanConfig, precision: Precision = FLOAT32
) -> tuple[GanState, Terms]:
    """The state after the discriminators' update and the generator's, and each loss: `d_loss`, `g_loss`, their terms
    behind `d_` and `g_`, and `d_norm` and `g_norm` of the gradients before they were clipped."""
    generator, discriminators, g_adam, d_adam = state
    options: dict[str, Any] = {"config": config, "precision": precision}
    d_losses, gradient = d_gradients(discriminators, generator, batch, noise.discriminator, **options)
    discriminators, d_adam, d_norm = update(discriminators, gradient, d_adam, config=config.discriminator_adam)
    g_losses, gradient = g_gradients(generator, discriminators, batch, noise.generator, **options)
    generator, g_adam, g_norm = update(generator, gradient, g_adam, config=config.generator_adam)
    metrics = {"d_norm": d_norm, "g_norm": g_norm}
    for turn, (loss, terms) in (("d", d_losses), ("g", g_losses)):
        metrics |= {f"{turn}_{name}": value for name, value in {"loss": loss, **terms}.items()}
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
