"""A stage that was trained before, put into a folder in place of its own.

    python -m recipes.embedded_voice.take --stage speech_tokenizer --weights FOLDER --out OUT

`weights/embedded` has a file for each stage whose training is done; what is not there is trained.
"""

import argparse
from pathlib import Path

from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.train.export import export_model

TRAINED = Path(__file__).resolve().parents[2] / "weights" / "embedded"


def take(stage: str, weights: Path, out: Path) -> None:
    """Writes the converted folder `weights` to `out`, with the trained stage."""
    params = unflatten_dict(load_file(TRAINED / f"{stage}.safetensors"), sep="/")
    export_model(weights, out, stage, params, load_config(weights))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stage", required=True, choices=sorted(path.stem for path in TRAINED.glob("*.safetensors")))
    parser.add_argument("--weights", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    take(args.stage, args.weights, args.out)


if __name__ == "__main__":
    main()
