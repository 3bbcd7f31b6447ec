"""Which kind of device computes: the one module that asks.

What is traced must not ask for this machine's device, since a program may be exported or compiled for another one:
`by_platform` leaves the choice to the lowering. Decisions of the host ask `host_platform`.
"""

import os
from collections.abc import Callable
from typing import Any

import jax
from jax import lax

# `with pretend("gpu"):` answers as on that platform, for tests on a CPU. It is part of jit's cache keys.
pretend = jax.make_user_context(None)


def by_platform(
    *args: Any,
    cpu: Callable[..., Any],
    other: Callable[..., Any],
    cuda: Callable[..., Any] | None = None,
    tpu: Callable[..., Any] | None = None,
) -> Any:
    """`cpu(*args)`, `cuda(*args)`, `tpu(*args)` or `other(*args)`, as the platform is that the program is lowered for.

    The args are pytrees of arrays; all ways return the same shapes and types. Without `cuda` or `tpu`, `other` is taken
    there too. Every way is traced, so a caller that many equal layers share does well to be a `jax.jit`, which is
    traced once for all of them; a program lowered for one platform holds that one's way alone.
    """
    if pretend.value is not None:
        return {"cpu": cpu, "gpu": cuda or other}.get(pretend.value, tpu or other)(*args)
    ways = {name: way for name, way in (("cuda", cuda), ("tpu", tpu)) if way}
    return lax.platform_dependent(*args, cpu=cpu, default=other, **ways)


def host_platform() -> str:
    """The kind of this process's default device: "cpu", "gpu" or "tpu"."""
    return pretend.value or jax.default_backend()


def host_cores() -> int:
    """The CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_float64(function: Callable[..., Any], *args: Any, **static: Any) -> Any:
    """`function(*args, **static)` with 64-bit numbers, args being pytrees of arrays.

    float64 is emulated on a TPU, convolution and product not at all in places: there the host's CPU computes, and hands
    the results back as NumPy arrays, which bind nothing that takes them to that CPU.
    """
    with jax.enable_x64(True):
        return (function if host_platform() != "tpu" else on_host(function))(*args, **static)


def on_host(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, computed by the host's CPU; its results are NumPy arrays."""

    def compute(*args: Any, **static: Any) -> Any:
        device = jax.devices("cpu")[0]
        with jax.default_device(device):
            return jax.device_get(function(*jax.device_put(args, device), **static))

    return compute
