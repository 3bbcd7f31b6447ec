"""How the language model pronounces, without flow, vocoder and recogniser: phoneme error rates in a minute.

    python -m recipes.embedded_voice.pronounced --data build/embedded_voice/encoded --weights FOLDER [--every 4]

Each speech token counts as the phoneme that most of its uses in the data are labelled with; equal neighbours are one,
pauses none. So read, the tokens that the model draws for a sentence of `held_out.txt`, in each of the four voices, are
held against the phonemes of flite's reading; and so are, for comparison, the tokens of that reading itself.
"""

import argparse
from collections import defaultdict
from itertools import groupby
from pathlib import Path

import numpy as np

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.words import Errors, verdict
from cosy_jax.nn.compile_cache import default_cache, start_jax
from cosy_jax.prompt.encode import speech_tokens
from cosy_jax.synthesis.request import Request
from cosy_jax.synthesis.synthesizer import Synthesizer

from .common import bar, run
from .flite import speak
from .labels import PHONEMES, PITCHES
from .silence import read_tokens
from .speakers import BASE
from .texts import held_out

_PAUSE = PHONEMES.index("pau")


def likely_phonemes(tokens: np.ndarray, labels: np.ndarray, size: int) -> np.ndarray:
    """Index in PHONEMES int (size,) of what each of `size` ids most often is in the data, tokens and labels int (N,);
    of one that is not in it, the pause."""
    uses = np.zeros((size, len(PHONEMES)), int)
    np.add.at(uses, (tokens, labels // PITCHES), 1)
    uses[~uses.any(axis=1), _PAUSE] = 1
    return uses.argmax(axis=1)


def pronounced(classes: np.ndarray) -> str:
    """Phonemes, as words of a text, of the class of each token int (L,)."""
    return " ".join(PHONEMES[index] for index, _ in groupby(classes.tolist()) if index != _PAUSE)


def drawn(synthesizer: Synthesizer, text: str, voice: str) -> np.ndarray:
    """The speech tokens int (L,) of a text."""
    request = synthesizer.resolve(Request(text, voice))
    policy = synthesizer.policy()
    return np.concatenate([synthesizer.decode(context, policy)[0] for context in synthesizer.contexts(request)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="the data, encoded by the folder's speech tokenizer")
    parser.add_argument("--weights", type=Path, required=True, help="a folder with the four voices")
    parser.add_argument("--every", type=int, default=1, help="take each so many-th sentence (default: all)")
    args = parser.parse_args()
    if args.every < 1:
        raise CosyError(f"Every {args.every}th sentence is none: give 1 or more.")
    start_jax(default_cache())
    synthesizer, texts = Synthesizer(args.weights), held_out()[:: args.every]
    classes = likely_phonemes(*read_tokens(args.data), synthesizer.config.llm.speech_token_size)
    found: defaultdict[str, list[tuple[Errors, Errors]]] = defaultdict(list)
    with bar("sentences", len(texts) * len(BASE)) as advance:
        for text in texts:
            for speaker in BASE:
                reading = speak(text, speaker)
                said = " ".join(phoneme for phoneme, _ in reading.segments if phoneme != "pau")
                own = speech_tokens(reading.samples, synthesizer.params("speech_tokenizer"), synthesizer.config)
                rows = drawn(synthesizer, text, speaker.name), own
                wrong = [verdict(said, pronounced(classes[tokens])).words for tokens in rows]
                for group in (speaker.name, "all"):
                    found[group].append((wrong[0], wrong[1]))
                advance()
    names = [*(speaker.name for speaker in BASE), "all"]
    print(f"{'phonemes wrong, %':20}" + "".join(f"{name:>8}" for name in names))
    for index, row in enumerate(("text", "the reading's tokens")):
        rates = [Errors.total(pair[index] for pair in found[name]).rate for name in names]
        print(f"{row:20}" + "".join(f"{100 * rate:8.1f}" for rate in rates))


if __name__ == "__main__":
    run(main)
