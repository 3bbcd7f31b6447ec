"""Which speech tokens mean silence, and that a model takes them."""

import shutil

import numpy as np
import pytest

from cosy_jax.checkpoint.integrity import verify_digests
from cosy_jax.checkpoint.reader import load_config
from cosy_jax.dataset.columns import import_pyarrow, schema, writer
from cosy_jax.errors import CosyError
from recipes.embedded_voice import silence
from recipes.embedded_voice.silence import LEAST_SEEN, find_silence, read_tokens, write_silence
from tests.conftest import TINY

SPOKEN = 6 * 7


def pairs(*runs):
    """Tokens and labels of runs (id, uses, of which silent)."""
    tokens = [token for token, uses, _ in runs for _ in range(uses)]
    labels = [label for _, uses, quiet in runs for label in [3] * quiet + [SPOKEN] * (uses - quiet)]
    return np.array(tokens), np.array(labels)


def write_shard(folder, utterances):
    """A data set of (tokens, labels), of which nothing else is read."""
    pa, columns = import_pyarrow(), schema(["labels"])
    rows = [
        {
            **{name: f"{index}" for name in ("utt", "wav", "text", "spk", "instruct")},
            **{"audio_data": b"", "utt_embedding": [0.0], "spk_embedding": [0.0]},
            **{"speech_token": tokens, "labels": labels},
        }
        for index, (tokens, labels) in enumerate(utterances)
    ]
    with (folder / "shard-000000.parquet").open("wb") as file, writer(file, columns) as shard:
        shard.write_table(pa.Table.from_pylist(rows, columns))


def test_seen_often_and_nearly_always_silent():
    found = find_silence(*pairs((5, LEAST_SEEN, 20), (6, LEAST_SEEN - 1, 19), (7, 100, 95), (8, 100, 94), (9, 50, 0)))
    assert found.ids == (5, 7)
    assert found.recalled == pytest.approx(115 / 228) and found.wrong == pytest.approx(5 / 120)


def test_a_tokenizer_that_knows_no_silence():
    with pytest.raises(CosyError, match="train the speech tokenizer longer"):
        find_silence(*pairs((5, 100, 50)))


def test_from_data_into_a_model(tmp_path):
    """More ids than other lists may have numbers, and nothing else of the folder changes."""
    tokens = [index for index in range(30) for _ in range(25)] + [99] * 30
    labels = [0] * 750 + [SPOKEN] * 30
    write_shard(tmp_path, [(tokens[:400], labels[:400]), (tokens[400:], labels[400:])])
    weights = shutil.copytree(TINY, tmp_path / "model")
    found = find_silence(*read_tokens(tmp_path))
    write_silence(weights, found.ids)
    assert load_config(weights).llm.silent_ids == tuple(range(30))
    assert verify_digests(weights) == verify_digests(TINY)


def test_labels_that_are_not_of_the_tokens(tmp_path):
    write_shard(tmp_path, [([1, 2, 3], [0, 0])])
    with pytest.raises(CosyError, match="'0' has 3 speech tokens and 2 labels"):
        read_tokens(tmp_path)


def test_ids_of_another_model():
    with pytest.raises(CosyError, match="The data have the speech token 7000"):
        silence.write_silence(TINY, (1, 7000))
