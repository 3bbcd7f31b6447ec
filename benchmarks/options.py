"""Options that several benchmarks share."""

import argparse

from cosy_jax.nn.compile_cache import default_cache
from cosy_jax.nn.precision import FLOAT32, POLICIES


def add_dtype_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dtype", default=FLOAT32.name, choices=POLICIES, help="(default: float32)")


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--compile-cache",
        metavar="DIR",
        default=default_cache(),
        help="where compiled programs are kept between runs, or 'off' (default: %(default)s; env COSY_JAX_CACHE)",
    )
