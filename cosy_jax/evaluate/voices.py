"""The voices of a set, and which of them an utterance sounds like.

D numbers of an embedding.
"""

from collections import defaultdict
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cosy_jax.batch.origin import digest, file_digest
from cosy_jax.evaluate.sets import Item
from cosy_jax.evaluate.sound import load
from cosy_jax.evaluate.speaker import SpeakerModel, nearest, unit
from cosy_jax.synthesis.voice import Voice

_OwnVoice = tuple[str, Path | str]  # a speaker, and a recording or saved voice of theirs


class SetVoices:
    """Embeddings of the prompts of a set, made when the first is asked for; CosyError where one cannot be."""

    def __init__(self, items: list[Item], model: SpeakerModel, saved: Callable[[str], Voice]) -> None:
        """`saved` gives a saved voice, which holds an embedding of CAM++ and no recording: other models do not know
        it."""
        self._model, self._saved = model, saved
        known = [_own(item) for item in items]
        self._voices = sorted({own for own in known if own and self._is_known(own)}, key=str)
        self._embeddings: dict[_OwnVoice, np.ndarray] = {}
        self._speakers: dict[str, np.ndarray] = {}

    def _is_known(self, own: _OwnVoice) -> bool:
        return isinstance(own[1], Path) or self._model.conditioning

    def digest(self, item: Item) -> str:
        """Of all that `judge` takes for an utterance but its audio."""
        own = _own(item)
        return digest(self._common, item.speaker, self._digests.get(own) if own else None)

    @cached_property
    def _digests(self) -> dict[_OwnVoice, str | None]:
        return {own: file_digest(own[1]) if isinstance(own[1], Path) else own[1] for own in self._voices}

    @cached_property
    def _common(self) -> str:
        voices = [[speaker, self._digests[speaker, voice]] for speaker, voice in self._voices]
        return digest(self._model.name, self._model.digest, voices)

    def judge(self, item: Item, audio: Path) -> dict[str, Any]:
        """similarity, the cosine between an utterance and its own prompt, and nearest, the speaker whom it is most
        like; None where there is no prompt, or one speaker only."""
        own = _own(item)
        if own is None or not self._is_known(own):
            return {"similarity": None, "nearest": None}
        self._embed_prompts()
        embedding = self._model.embed(*load(str(audio)))
        found = nearest(embedding, self._speakers) if len(self._speakers) > 1 else None
        return {"similarity": round(float(embedding @ self._embeddings[own]), 4), "nearest": found}

    def _embed_prompts(self) -> None:
        if self._embeddings:
            return
        parts = defaultdict(list)
        for own in self._voices:
            speaker, voice = own
            if isinstance(voice, Path):
                self._embeddings[own] = self._model.embed(*load(str(voice)))
            else:
                self._embeddings[own] = unit(self._saved(voice).prompt.speaker_embedding)
            parts[speaker].append(self._embeddings[own])
        self._speakers = {speaker: unit(np.mean(some, axis=0)) for speaker, some in parts.items()}


def _own(item: Item) -> _OwnVoice | None:
    voice = item.prompt or item.voice
    return (item.speaker, voice) if voice else None
