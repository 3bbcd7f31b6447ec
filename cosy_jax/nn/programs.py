"""Jitted functions whose programs are stored whole: a later process reads them and traces nothing.

Only what is called once or so an utterance is worth it: each call here asks for the type of every argument.
"""

import enum
import functools
import inspect
import json
import pickle
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import fields, is_dataclass
from typing import Any, NamedTuple

import jax
import numpy as np

from cosy_jax.nn import backend, stored
from cosy_jax.nn.ahead import ReadAhead
from cosy_jax.nn.compile_log import record_read
from cosy_jax.nn.memory import trim
from cosy_jax.nn.stored import StoreWarning

_all: "weakref.WeakSet[Program]" = weakref.WeakSet()
_making = jax.make_user_context(False)
_alone = threading.RLock()  # around what changes JAX's settings
_CACHE = "jax_enable_compilation_cache"


class _Recent(NamedTuple):
    """What the last run of a kind read, and the files that this one asked for."""

    ahead: ReadAhead[jax.stages.Compiled | None]
    files: list[str]


_recent: _Recent | None = None


class _UnknownError(Exception):
    """Something of which it cannot be told what a program would depend on."""


class Program:
    """`jax.jit(function)`, which reads and writes `stored.current()` where there is one."""

    def __init__(
        self, function: Callable[..., Any], static_argnames: Sequence[str], donate_argnames: Sequence[str]
    ) -> None:
        self._jitted = jax.jit(function, static_argnames=static_argnames, donate_argnames=donate_argnames)
        self._names = list(inspect.signature(function).parameters)
        self._static = frozenset(static_argnames)
        self._name, self._place = function.__name__, f"{function.__module__}.{function.__qualname__}"
        self._known: dict[tuple[stored.Store, tuple], jax.stages.Compiled] = {}
        self._lock = threading.Lock()
        functools.update_wrapper(self, function)
        _all.add(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        store = stored.current()
        if store is None or backend.pretend.value is not None:
            return self._jitted(*args, **kwargs)
        given = [value for name, value in zip(self._names, args, strict=False) if name not in self._static]
        named = {name: value for name, value in kwargs.items() if name not in self._static}
        chosen = {**dict(zip(self._names, args, strict=False)), **kwargs}
        statics = {name: value for name, value in chosen.items() if name in self._static}
        try:
            asked = _written(statics), *_types((given, named))
        except _UnknownError:
            return self._jitted(*args, **kwargs)
        found = self._program(store, asked, args, kwargs)
        if _making.value:
            return jax.tree.map(lambda x: jax.device_put(np.zeros(x.shape, x.dtype)), found.out_info)
        return found(*given, **named)

    def forget(self) -> None:
        """Lets go of what was read or compiled."""
        with self._lock:
            self._known.clear()

    def __getattr__(self, name: str) -> Any:
        """What else a jitted function can do."""
        return getattr(self._jitted, name)

    def _program(self, store: stored.Store, asked: tuple, args: tuple, kwargs: dict[str, Any]) -> jax.stages.Compiled:
        with self._lock:
            if (store, asked) in self._known:
                return self._known[store, asked]
            file = stored.file_name(self._name, f"{self._place} {asked}")
            program = _read(store, file)
            if program is None:
                program = _compiled(self._jitted.lower(*args, **kwargs))
                _write(store, file, program)
            self._known[store, asked] = program
            return program


def program(
    static_argnames: Sequence[str] = (), donate_argnames: Sequence[str] = ()
) -> Callable[[Callable[..., Any]], Program]:
    """Decorates a pure function, as `jax.jit` with these arguments."""
    return lambda function: Program(function, static_argnames, donate_argnames)


def forget() -> None:
    """Lets go of the programs that were read or compiled, up to a hundred megabytes each; they are read again when
    needed."""
    for each in _all:
        each.forget()


def only_made() -> AbstractContextManager[None]:
    """Programs called inside are compiled and stored, or read, and not run: what they return is zero."""
    return _making(True)


@contextmanager
def reading_ahead(kind: str) -> Iterator[None]:
    """Reads what the last run of this kind read here, in its order, in a thread beside what is computed: XLA links a
    program without Python's lock. Notes for the next one what this run reads or makes."""
    global _recent
    store = stored.current()
    if store is None:
        yield
        return
    notes = stored.file_name("recent", kind)
    known = json.loads(store.read(notes) or b"[]")
    _recent = recent = _Recent(ReadAhead(known, functools.partial(_load, store)), [])
    try:
        yield
    finally:
        _recent = None
        recent.ahead.close()
        if recent.files != known:
            store.write(notes, json.dumps(recent.files).encode())


def _read(store: stored.Store, file: str) -> jax.stages.Compiled | None:
    begin = time.perf_counter()
    if _recent is None:
        found = _load(store, file)
    else:
        _recent.files.append(file)
        found = _recent.ahead.take(file)
    if found is not None:
        record_read(time.perf_counter() - begin)
    return found


def _load(store: stored.Store, file: str) -> jax.stages.Compiled | None:
    from jax.experimental import serialize_executable

    content = store.read(file)
    if content is None:
        return None
    try:
        code, inputs, outputs = pickle.loads(content)
        device = jax.devices()[:1]
        return serialize_executable.deserialize_and_load(code, inputs, outputs, execution_devices=device)
    except Exception as error:  # of any kind: it can be compiled
        warnings.warn(f"A stored program cannot be loaded ({error}): it is made anew.", StoreWarning, stacklevel=5)
        return None


def _write(store: stored.Store, file: str, program: jax.stages.Compiled) -> None:
    from jax.experimental import serialize_executable

    try:
        content = pickle.dumps(serialize_executable.serialize(program))
    except (ValueError, NotImplementedError) as error:  # some backends and programs cannot be
        warnings.warn(f"A program cannot be stored ({error}).", StoreWarning, stacklevel=5)
    else:
        store.write(file, content)


def _compiled(lowered: jax.stages.Lowered) -> jax.stages.Compiled:
    with _without_cache():
        found = lowered.compile()
    trim()  # compiling takes hundreds of megabytes
    return found


@contextmanager
def _without_cache() -> Iterator[None]:
    """Without JAX's own cache: what XLA's CPU backend has read from there and serialises again lacks functions."""
    from jax.experimental.compilation_cache import compilation_cache

    with _alone:
        before = getattr(jax.config, _CACHE)
        jax.config.update(_CACHE, False)
        compilation_cache.reset_cache()  # JAX asks for the setting once
        try:
            yield
        finally:
            jax.config.update(_CACHE, before)
            compilation_cache.reset_cache()


def _types(tree: Any) -> tuple:
    """Structure, types and shapes of a pytree of arrays on the first device, not in letters: those of a whole network
    would take milliseconds a call."""
    leaves, structure = jax.tree.flatten(tree)
    wide = jax.dtypes.canonicalize_dtype(np.float64)  # whether 64-bit numbers are enabled
    first = {jax.devices()[0]}
    return wide, structure, tuple([_type(leaf, first) for leaf in leaves])


def _type(leaf: Any, devices: set[jax.Device]) -> tuple:
    if isinstance(leaf, jax.Array) and not isinstance(leaf, jax.core.Tracer):
        if leaf.devices() != devices:
            raise _UnknownError
        return leaf.dtype, leaf.shape, getattr(leaf, "weak_type", False)
    if isinstance(leaf, np.ndarray | np.generic):
        return leaf.dtype, leaf.shape, False
    raise _UnknownError


def _written(value: Any) -> str:
    """A static argument in letters, such that two that differ are written differently."""
    if value is None or isinstance(value, str | int | float | enum.Enum):
        return repr(value)
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, tuple):
        return f"({','.join(map(_written, value))})"
    if isinstance(value, dict):
        return f"({','.join(f'{name}={_written(each)}' for name, each in sorted(value.items()))})"
    if is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
        return f"{kind.__module__}.{kind.__qualname__}{_written(inner)}"
    raise _UnknownError
