"""What products in three passes of bfloat16, which the encoders' are on a TPU, or in one cost: ids that change, and
embeddings' relative error, against float32.

    python -m benchmarks.encoder_precision --weights weights/embedded docs/listen/*-teacher.mp3

The passes are emulated on a CPU: each operand as the sum of two bfloat16 values, whose smallest product is left out.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.table import print_table
from cosy_jax.audio.read import load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.nn import backend
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.prompt.encode import SPEAKER_FRAMES, TOKENIZER_FRAMES, pad_features, speaker_features
from cosy_jax.prompt.features import whisper_log_mel
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer, code_ids
from cosy_jax.synthesis.synthesizer import Synthesizer

RATE = 16_000
ENCODERS = "speech_tokenizer", "speaker_encoder"
SECONDS = 6.0  # of a piece of a recording


@dataclass(frozen=True)
class Passes(Precision):
    """Products of float32 as a TPU takes them in so many passes."""

    passes: int = 3

    def einsum(self, spec: str, x: jax.Array, y: jax.Array) -> jax.Array:
        (high, low), (high_y, low_y) = _halves(x), _halves(y)
        total = FLOAT32.einsum(spec, high, high_y)
        if self.passes == 1:
            return total
        return total + (FLOAT32.einsum(spec, high, low_y) + FLOAT32.einsum(spec, low, high_y))


def _halves(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    high = x.astype(jnp.bfloat16).astype(jnp.float32)
    return high, (x - high).astype(jnp.bfloat16).astype(jnp.float32)


def passes(count: int) -> Passes:
    """The policy of one or three passes."""
    return Passes(f"{count} passes", jnp.dtype(jnp.float32), jax.lax.Precision.HIGHEST, passes=count)


Encoded = list[tuple[np.ndarray, np.ndarray]]  # of each recording, ids int (L,) and embedding float32 (192,)


def encoded(synthesizer: Synthesizer, recordings: Sequence[np.ndarray], precision: Precision) -> Encoded:
    """Samples float32 (S,) at 16 kHz each, as a TPU's programs encode them with such products; of a synthesizer that
    has done nothing else."""
    config = synthesizer.config
    log_mels = [whisper_log_mel(samples, config.speech_tokenizer.mel_bands) for samples in recordings]
    with backend.pretend("tpu"):
        tokenizer, encoder = ({"params": synthesizer.params(stage)} for stage in ENCODERS)
        apply = jax.jit(SpeechTokenizer(config.speech_tokenizer, precision).apply)
        values, lengths = apply(tokenizer, *pad_features(log_mels, TOKENIZER_FRAMES))
        features = [speaker_features(samples, config) for samples in recordings]
        apply = jax.jit(SpeakerEncoder(config.speaker_encoder, precision).apply)
        embeddings = np.asarray(apply(encoder, *pad_features(features, SPEAKER_FRAMES)))
    ids = np.asarray(code_ids(values, config.speech_tokenizer.levels))
    rows = [row[:length] for row, length in zip(ids, np.asarray(lengths), strict=True)]
    return list(zip(rows, embeddings, strict=True))


def error(found: Encoded, exact: Encoded) -> tuple[int, int, float]:
    """How many ids there are, how many are others, and the largest relative error of an embedding."""
    changed = sum(int(np.sum(ids != wanted)) for (ids, _), (wanted, _) in zip(found, exact, strict=True))
    errors = [np.linalg.norm(a - b) / np.linalg.norm(b) for (_, a), (_, b) in zip(found, exact, strict=True)]
    return sum(len(ids) for ids, _ in exact), changed, float(max(errors))


def load_pieces(paths: Sequence[str]) -> list[np.ndarray]:
    """Samples float32 (S,) at 16 kHz of all recordings, in pieces of 6 s."""
    pieces = []
    for path in paths:
        samples, rate = load_audio(path)
        samples, length = resample(samples, rate, RATE), int(SECONDS * RATE)
        pieces += [samples[i : i + length] for i in range(0, max(1, len(samples) - RATE), length)]
    return pieces


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("recordings", nargs="+")
    args = parser.parse_args()
    synthesizer, pieces = Synthesizer(args.weights), load_pieces(args.recordings)
    exact, rows = encoded(synthesizer, pieces, FLOAT32), []
    for count in (3, 1):
        ids, changed, largest = error(encoded(synthesizer, pieces, passes(count)), exact)
        rows.append((count, ids, changed, f"{largest:.1e}"))
    print_table(("passes", "ids", "changed", "largest error of an embedding"), rows)


if __name__ == "__main__":
    main()
