"""The slow part of a judgement, recogniser and F0, on as many processes as help.

PocketSphinx holds Python's lock, so that threads gain nothing.
"""

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from multiprocessing import connection, get_context, parent_process
from typing import Any

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.dnsmos import Dnsmos
from cosy_jax.evaluate.sound import has_sound, load, measure
from cosy_jax.evaluate.words import verdict
from cosy_jax.recognise.choice import load_recogniser

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Hearing:
    """Who listens."""

    recogniser: str  # as `load_recogniser` takes it
    dnsmos: str | None = None  # its ONNX file


@dataclass(frozen=True)
class Task:
    """One recording of a text, and somebody else's of the same."""

    key: str
    audio: str
    text: str
    reference: str | None = None


Found = dict[str, Any]  # figures by name, or the sentence why there are none as `error`


class Listener:
    """Listens in this process. CosyError where one who is to listen cannot be loaded."""

    def __init__(self, hearing: Hearing) -> None:
        self._recogniser = load_recogniser(hearing.recogniser)
        self._dnsmos = Dnsmos(hearing.dnsmos) if hearing.dnsmos else None

    def judge(self, task: Task) -> Found:
        """Figures of the recording, those of the reference as `reference`."""
        try:
            found = self._judge(task.audio, task.text)
            if task.reference:
                found["reference"] = self._judge(task.reference, task.text)
            return found
        except CosyError as error:
            return {"error": str(error)}

    def _judge(self, path: str, text: str) -> Found:
        samples, rate = load(path)
        audible = has_sound(samples, rate)
        heard = self._recogniser.transcribe(samples, rate) if audible else ""
        errors = verdict(text, heard)
        found: Found = {"heard": heard, "words": asdict(errors.words), "characters": asdict(errors.characters)}
        found |= measure(samples, rate)
        if self._dnsmos:
            found["dnsmos"] = self._dnsmos.score(samples, rate) if audible else None
        return found


def judge_all(
    tasks: list[Task], listener: Listener, hearing: Hearing, jobs: int, stop: threading.Event
) -> Iterator[tuple[Task, Found]]:
    """Each task with what was found, as they are done; none is begun any more once `stop` is set. One job is done by
    the listener itself, more by processes of their own."""
    if min(jobs, len(tasks)) <= 1:
        for task in tasks:
            if stop.is_set():
                return
            yield task, listener.judge(task)
        return
    # A process that is forked from one with threads, such as JAX's, may hang.
    with ProcessPoolExecutor(min(jobs, len(tasks)), get_context("spawn"), _begin, (hearing,)) as pool:
        try:
            yield from _as_completed({pool.submit(_judge, task): task for task in tasks}, stop)
        except BrokenProcessPool as error:
            raise CosyError("A process that judged was killed, perhaps for memory: use fewer with --jobs.") from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _as_completed(waiting: "dict[Future[Found], Task]", stop: threading.Event) -> Iterator[tuple[Task, Found]]:
    pending = set(waiting)
    while pending:
        if stop.is_set():
            pending = {future for future in pending if not future.cancel()}
        done, pending = wait(pending, _POLL_SECONDS, FIRST_COMPLETED)
        for future in done:
            yield waiting[future], future.result()


_listener: Listener | None = None  # of a process that judges


def _begin(hearing: Hearing) -> None:
    global _listener
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the one that has the command decides
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _listener = Listener(hearing)


def _end_with_parent() -> None:
    """A parent that was killed says nothing, and its queue never ends."""
    if parent := parent_process():
        connection.wait([parent.sentinel])
        os._exit(1)


def _judge(task: Task) -> Found:
    if _listener is None:
        raise RuntimeError("no listener: _begin was not called")
    return _listener.judge(task)
