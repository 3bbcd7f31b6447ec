"""The figures of a set, from those of its utterances."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cosy_jax.evaluate.judgements import Judgement
from cosy_jax.evaluate.words import Errors

NEAR_DURATION, NEAR_F0 = 0.15, 0.05  # of the reference's

Summary = dict[str, Any]


def summarise(judgements: list[Judgement]) -> Summary:
    """`all` of a set, and where there are several the `speakers`, each as `_figures` tells."""
    speakers = sorted({judgement["speaker"] for judgement in judgements})
    groups = {name: [one for one in judgements if one["speaker"] == name] for name in speakers}
    by_speaker = {name: _figures(group) for name, group in groups.items()} if len(speakers) > 1 else {}
    return {"all": _figures(judgements), "speakers": by_speaker}


def word_errors(judgement: Judgement) -> Errors:
    """Of an utterance that was judged."""
    return Errors(**judgement["words"])


def worst_first(judgements: Iterable[Judgement]) -> list[Judgement]:
    """Those without figures, then by word and character error rate."""

    def badness(one: Judgement) -> tuple[bool, float, float]:
        if "error" in one:
            return True, math.inf, math.inf
        return False, word_errors(one).rate, Errors(**one["characters"]).rate

    return sorted(judgements, key=badness, reverse=True)


def _figures(group: list[Judgement]) -> Summary:
    """Counts and rates; what nobody measured is None.

    Error rates are those of all words together; `mean_word_error_rate` is the mean over utterances, as Seed-TTS-eval
    reports it. A pair of figures with _mean and _deviation is over utterances, in their units.
    """
    judged = [one for one in group if "error" not in one]
    words = Errors.total(map(word_errors, judged))
    characters = Errors.total(Errors(**one["characters"]) for one in judged)
    seconds = sum(one["seconds"] for one in judged)
    return {
        "utterances": len(group),
        "failed": len(group) - len(judged),
        "seconds": round(seconds, 3),
        "word_error_rate": _rounded(words.rate),
        "substitutions": words.substitutions,
        "deletions": words.deletions,
        "insertions": words.insertions,
        "mean_word_error_rate": _mean(judged, lambda one: word_errors(one).rate),
        "character_error_rate": _rounded(characters.rate),
        "words_a_second": _rounded(words.length / seconds) if seconds else None,
        "clipped_utterances": sum(bool(one["clipped"]) for one in judged),
        "without_sound": sum(one["peak_db"] is None for one in judged),
        "similarity": _mean(judged, lambda one: one.get("similarity")),
        "nearest_speaker_right": _mean(judged, _is_nearest),
        **_spread("duration", judged, lambda one: one["seconds"]),
        **_spread("f0_median", judged, lambda one: one["f0_median"]),
        **_spread("f0_spread", judged, lambda one: one["f0_spread"]),
        **_spread("head_silence", judged, lambda one: one["head_silence"]),
        **_spread("tail_silence", judged, lambda one: one["tail_silence"]),
        "dnsmos": _dnsmos(judged),
        "reference": _against_reference([one for one in judged if one.get("reference")]),
    }


def _against_reference(judged: list[Judgement]) -> Summary | None:
    """The reference's own error rates and how near to it the utterances are, None where there is none."""
    if not judged:
        return None
    words = Errors.total(Errors(**one["reference"]["words"]) for one in judged)
    characters = Errors.total(Errors(**one["reference"]["characters"]) for one in judged)
    durations = _values(judged, lambda one: _ratio(one, "seconds"))
    f0 = _values(judged, lambda one: _ratio(one, "f0_median"))
    return {
        "utterances": len(judged),
        "word_error_rate": _rounded(words.rate),
        "character_error_rate": _rounded(characters.rate),
        "duration_ratio": _rounded(np.median(durations)) if durations else None,
        "duration_within_15_percent": _share(durations, NEAR_DURATION),
        "f0_ratio": _rounded(np.median(f0)) if f0 else None,
        "f0_within_5_percent": _share(f0, NEAR_F0),
    }


def _ratio(judgement: Judgement, name: str) -> float | None:
    ours, theirs = judgement[name], judgement["reference"][name]
    return ours / theirs if ours and theirs else None


def _share(ratios: list[float], limit: float) -> float | None:
    return _rounded(np.mean([abs(ratio - 1) <= limit for ratio in ratios])) if ratios else None


def _is_nearest(judgement: Judgement) -> bool | None:
    found = judgement.get("nearest")
    return None if found is None else found == judgement["speaker"]


def _dnsmos(judged: list[Judgement]) -> Summary | None:
    scores = [one["dnsmos"] for one in judged if one.get("dnsmos")]
    return {name: _rounded(np.mean([score[name] for score in scores])) for name in scores[0]} if scores else None


_Figure = Callable[[Judgement], float | None]


def _values(judged: list[Judgement], figure: _Figure) -> list[float]:
    return [value for value in map(figure, judged) if value is not None]


def _mean(judged: list[Judgement], figure: _Figure) -> float | None:
    values = _values(judged, figure)
    return _rounded(np.mean(values)) if values else None


def _spread(name: str, judged: list[Judgement], figure: _Figure) -> Summary:
    values = _values(judged, figure)
    return {f"{name}_mean": _mean(judged, figure), f"{name}_deviation": _rounded(np.std(values)) if values else None}


def _rounded(value: float | np.floating) -> float | None:
    return None if math.isnan(value) else round(float(value), 5)
