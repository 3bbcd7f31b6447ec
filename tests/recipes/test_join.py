"""Sentences joined into rows of one speaker."""

import pytest

from recipes.embedded_voice.join import HEARD, MAX_TOKENS, SIZES, join


def rows():
    return [
        {"utt": f"{i:03d}", "text": f"Text {i}.", "spk": f"s{i % 3}", "wav": "w"}
        | {"speech_token": [i] * (20 + i % 50), "ideal": [1000 + i] * (20 + i % 50)}
        for i in range(300)
    ]


def test_every_sentence_once_and_beside_its_own_speaker():
    joined = join(rows(), seed=0)
    parts = [row["utt"].split("+") for row in joined]
    assert sorted(key for keys in parts for key in keys) == [row["utt"] for row in rows()]
    assert {len(keys) for keys in parts} == set(SIZES)
    assert all(len({int(key) % 3 for key in keys}) == 1 for keys in parts)
    for row, keys in zip(joined, parts, strict=True):
        assert row["text"] == " ".join(f"Text {int(key)}." for key in keys)
        assert len(row["speech_token"]) <= MAX_TOKENS


def test_the_first_of_several_may_be_as_it_was_heard():
    heard = []
    for row in join(rows(), seed=0):
        first, *others = map(int, row["utt"].split("+"))
        length = 20 + first % 50
        assert row["speech_token"][length:] == [1000 + i for i in others for _ in range(20 + i % 50)]
        beginning = set(row["speech_token"][:length])
        assert beginning <= {first} or beginning <= {1000 + first}
        heard.append((bool(others), beginning == {first}))
    several = [as_heard for of_several, as_heard in heard if of_several]
    assert sum(several) / len(several) == pytest.approx(HEARD, abs=0.2)
    assert (False, True) not in heard


def test_the_seed_decides():
    assert join(rows(), seed=1) == join(rows(), seed=1) != join(rows(), seed=2)
