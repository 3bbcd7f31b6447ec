"""Random parameters under which every layer matters: the initial ones are so small that most codes come out alike."""

import jax
import numpy as np


def random_params(module, *inputs):
    """Parameters of `module` with unit gain; norms near the identity."""
    shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    random = np.random.default_rng(0)

    def leaf(path, shape):
        noise = random.standard_normal(shape.shape).astype(np.float32)
        name = path[-1].key
        if name in ("scale", "var"):
            return np.exp(0.3 * noise)
        if name != "kernel":
            return 0.3 * noise
        # Linear kernels are (out, in), those of convolutions end in (in, out).
        fan_in = shape.shape[1] if len(shape.shape) == 2 else shape.size // shape.shape[-1]
        return noise / np.sqrt(fan_in)

    return jax.tree_util.tree_map_with_path(leaf, shapes)
