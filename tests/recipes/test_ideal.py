"""Speech tokens as labels say them."""

import json
import random

import numpy as np
import pytest

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.dataset.read import open_dataset
from cosy_jax.errors import CosyError
from recipes.embedded_voice.ideal import HEARD_WHOLE, LEARNT, ideal_ids, ids_of, partly_ideal, rewrite
from recipes.embedded_voice.labels import PHONEMES, PITCHES
from recipes.embedded_voice.silence import read_tokens
from tests.recipes.test_silence import write_shard
from tests.reference import REPOSITORY


def test_each_label_has_an_id_of_its_own():
    """Id 7 is label 0's before it is label 1's, which has more of its uses; an id that means one label comes first."""
    tokens = np.repeat([7, 7, 3, 9], [60, 30, 20, 5])
    labels = np.repeat([0, 1, 1, 2], [60, 30, 20, 5])
    assert ideal_ids(tokens, labels).tolist() == [7, 3, 9]


def test_a_tokenizer_with_fewer_ids_than_labels():
    with pytest.raises(CosyError, match="3 labels and 2 ids"):
        ideal_ids(np.array([0, 1, 1]), np.array([0, 1, 2]))


def test_the_embedded_model_has_ids_for_all_labels():
    learnt = json.loads(LEARNT.read_text())
    assert len(set(learnt["ids"])) == len(learnt["ids"]) == len(PHONEMES) * PITCHES
    config = load_config(REPOSITORY / "weights" / "embedded")
    assert set(learnt["ids"][: PITCHES - 2]) <= set(config.llm.silent_ids) and max(learnt["ids"]) < 6561


def test_data_of_the_embedded_encoders_have_the_ids_that_were_learnt(tmp_path):
    write_shard(tmp_path, [([5, 5, 6], [0, 0, 1])])
    assert ids_of(tmp_path).tolist() == [5, 6]
    encoders = json.loads(LEARNT.read_text())["encoders"]
    (tmp_path / "dataset.json").write_text(json.dumps({"encoders": encoders}))
    assert len(ids_of(tmp_path)) == len(PHONEMES) * PITCHES


def test_a_beginning_is_as_it_was_heard():
    heard, ideal, draw = list(range(40)), list(range(100, 140)), random.Random(0)
    until = [sum(token < 100 for token in partly_ideal(heard, ideal, draw)) for _ in range(2000)]
    whole = [count for count in until if count == 40]
    assert len(whole) / 2000 == pytest.approx(HEARD_WHOLE, abs=0.03)
    assert set(until) - {40} == set(range(20))


def test_the_data_again(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    data.mkdir()
    write_shard(data, [([6, 5, 6, 5], [0, 0, 1, 1])] * 40)
    assert list(rewrite(data, out, np.array([5, 6]), seed=0)) == [40]
    tokens, labels = read_tokens(out)
    assert labels.tolist() == [0, 0, 1, 1] * 40
    # As it was heard; ideal; ideal behind one token that was heard.
    assert set(map(tuple, tokens.reshape(-1, 4).tolist())) == {(6, 5, 6, 5), (5, 5, 6, 6), (6, 5, 6, 6)}
    assert len(open_dataset(out)) == 40
