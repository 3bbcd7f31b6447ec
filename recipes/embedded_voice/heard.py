"""What a recogniser hears in recordings of a text, and how many of its words are wrong.

python -m recipes.embedded_voice.heard --text "Good morning." demo-rms.wav demo-kal16.wav
"""

import argparse

from cosy_jax.errors import CosyError
from cosy_jax.evaluate.sound import load
from cosy_jax.evaluate.words import import_jiwer, verdict
from cosy_jax.recognise.choice import POCKETSPHINX, load_recogniser

from .common import run


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", required=True, help="what was to be said")
    parser.add_argument("recordings", nargs="+", metavar="FILE")
    args = parser.parse_args()
    try:
        recogniser, _ = load_recogniser(POCKETSPHINX), import_jiwer()
    except CosyError as error:  # an extra, without which there is still something to hear
        print(f"Word error rates are not measured. {error}")
        return
    for path in args.recordings:
        heard = recogniser.transcribe(*load(path))
        print(f"{path}: word error rate {verdict(args.text, heard).words.rate:.0%}, heard as: {heard or 'nothing'}")


if __name__ == "__main__":
    run(main)
