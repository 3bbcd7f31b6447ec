"""Text front end against its dump."""

import re
from pathlib import Path

from cosy_jax.parity.check import Check
from cosy_jax.parity.dumps import read_cases
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.text.normalise import REFERENCE, find_language, has_wetext, is_verbatim, normalise
from cosy_jax.text.split import segment_text

# What wetext may rewrite in English: digits, symbols, straight double quotes and abbreviations.
_FOR_WETEXT = re.compile(r"[^\w\s.,;:!?'-]|\d|\b[A-Z]\w{0,3}\.")


def check_text_frontend(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Segments and normalised text of every recorded text; without wetext, of those that it leaves alone."""
    cases = read_cases(path)["cases"]
    chosen = cases if has_wetext() else [case for case in cases if not needs_wetext(case["text"])]
    left_out = "" if has_wetext() else f", {len(cases) - len(chosen)} left out for want of wetext"
    checks = []
    for name, key, ours in (
        ("text segments", "split", [segment_text(case["text"], synthesizer.tokenizer, REFERENCE) for case in chosen]),
        ("normalised text", "joined", [normalise(case["text"], REFERENCE) for case in chosen]),
    ):
        right = sum(a == case[key] for a, case in zip(ours, chosen, strict=True))
        note = f"{right} of {len(chosen)} texts equal{left_out}"
        checks.append(Check(name, "equal", right == len(chosen), note=note))
    return checks


def needs_wetext(text: str) -> bool:
    """Whether wetext may change the text: in Chinese only where it has a digit."""
    if is_verbatim(text, REFERENCE):
        return False
    pattern = r"\d" if find_language(text, REFERENCE) == "zh" else _FOR_WETEXT
    return re.search(pattern, text) is not None
