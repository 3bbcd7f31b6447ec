"""A set judged into a folder: `results.jsonl`, `summary.json` and `index.html`, which are there while it goes on."""

import json
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cosy_jax.batch.origin import digest, file_digest
from cosy_jax.errors import CosyError
from cosy_jax.evaluate import html
from cosy_jax.evaluate.judgements import Judgement, Judgements
from cosy_jax.evaluate.listen import Found, Hearing, Listener, Task, judge_all
from cosy_jax.evaluate.pictures import mel_png, waveform_svg
from cosy_jax.evaluate.sets import Item
from cosy_jax.evaluate.sound import has_sound, load
from cosy_jax.evaluate.summary import Summary, summarise, worst_first
from cosy_jax.evaluate.voices import SetVoices
from cosy_jax.files import write_whole
from cosy_jax.page import picture
from cosy_jax.recognise.choice import identity

_FORM = 1  # of the figures: another one has all utterances judged again
_PICTURES = 300  # of the worst: a page with more takes too long to open
_WRITE_SECONDS = 30.0  # between two states of the page

OnProgress = Callable[[int, int], None]  # utterances judged, of how many


class Evaluation:
    """Judges the utterances of a set, each from its audio in `audio`, or for what is in `failed` not at all.

    CosyError where the folder holds results of something else.
    """

    def __init__(
        self,
        out: Path,
        items: list[Item],
        audio: dict[str, Path],
        hearing: Hearing,
        listener: Listener,
        voices: SetVoices,
        about: dict[str, Any],
    ) -> None:
        """`audio` has a file for each key; `about` stands in the summary as it is."""
        self._out, self._items, self._audio, self._about = out, items, audio, about
        self._hearing, self._listener, self._voices = hearing, listener, voices
        self._judged: dict[str, Judgement] = {}
        self._pictures: dict[str, str] = {}
        self._common = digest(_FORM, identity(hearing.recogniser), hearing.dnsmos and file_digest(Path(hearing.dnsmos)))

    def run(self, failed: dict[str, str], jobs: int, stop: threading.Event, on_progress: OnProgress) -> Summary:
        """Judges what is not judged yet; `failed` has the sentences of those that have no audio. Returns what is in
        `summary.json`. Once `stop` is set, nothing is begun any more; what there is, is written in any case."""
        with Judgements(self._out) as kept:
            inputs = {item.key: self._inputs(item) for item in self._items if item.key not in failed}
            for item in self._items:
                if item.key in failed:
                    self._judged[item.key] = {**self._head(item, ""), "error": failed[item.key]}
                elif known := kept.of(item.key, inputs[item.key]):
                    self._judged[item.key] = known
            try:
                self._judge_rest(kept, inputs, jobs, stop, on_progress)
            finally:
                kept.settle(self._in_order())
                summary = self._write()
            return summary

    def _judge_rest(
        self, kept: Judgements, inputs: dict[str, str], jobs: int, stop: threading.Event, on_progress: OnProgress
    ) -> None:
        rest = {item.key: item for item in self._items if item.key not in self._judged}
        on_progress(len(self._judged), len(self._items))
        if not rest:
            return
        written = time.monotonic()
        tasks = [self._task(item) for item in rest.values()]
        for task, found in judge_all(tasks, self._listener, self._hearing, jobs, stop):
            item = rest[task.key]
            judgement = {**self._head(item, inputs[item.key]), **self._with_voice(item, found)}
            kept.add(judgement)
            self._judged[item.key] = judgement
            on_progress(len(self._judged), len(self._items))
            if time.monotonic() - written > _WRITE_SECONDS:
                self._write()
                written = time.monotonic()

    def _inputs(self, item: Item) -> str:
        """A digest of all that a judgement depends on."""
        reference = item.reference and [self._seen(item.reference), file_digest(item.reference)]
        path = self._audio[item.key]
        voice = self._voices.digest(item)
        return digest(self._common, item.text, item.speaker, self._seen(path), file_digest(path), reference, voice)

    def _task(self, item: Item) -> Task:
        return Task(item.key, str(self._audio[item.key]), item.text, str(item.reference) if item.reference else None)

    def _head(self, item: Item, inputs: str) -> Judgement:
        wav = self._seen(self._audio[item.key])
        return {"key": item.key, "text": item.text, "speaker": item.speaker, "wav": wav, "inputs": inputs}

    def _seen(self, path: Path) -> str:
        """A path as it is seen from the page."""
        return Path(os.path.relpath(path, self._out)).as_posix()

    def _with_voice(self, item: Item, found: Found) -> Found:
        if item.reference and "reference" in found:
            found["reference"]["wav"] = self._seen(item.reference)
        if found.get("peak_db") is not None:
            try:
                found |= self._voices.judge(item, self._audio[item.key])
            except CosyError as error:
                return {"error": str(error)}
        return found

    def _in_order(self) -> list[Judgement]:
        return [self._judged[item.key] for item in self._items if item.key in self._judged]

    def _write(self) -> Summary:
        """What is known so far."""
        judgements = self._in_order()
        summary = {**self._about, **summarise(judgements), "total": len(self._items)}
        write_whole(self._out / "summary.json", json.dumps(summary, indent=2).encode() + b"\n")
        drawn = {judgement["key"] for judgement in worst_first(judgements)[:_PICTURES]}

        def draw(judgement: Judgement) -> str:
            return self._drawn(judgement) if judgement["key"] in drawn else ""

        write_whole(
            self._out / "index.html",
            html.to_html(summary, judgements, len(self._items), draw).encode(errors="backslashreplace"),
        )
        return summary

    def _drawn(self, judgement: Judgement) -> str:
        key = judgement["key"]
        if key not in self._pictures:
            samples, rate = load(str(self._audio[key]))
            whole = has_sound(samples, rate)
            self._pictures[key] = waveform_svg(samples) + picture(mel_png(samples, rate), "mel") if whole else ""
        return self._pictures[key]
