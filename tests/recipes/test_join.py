"""Sentences joined into rows of one speaker."""

from collections import Counter

from recipes.embedded_voice.join import MAX_TOKENS, SIZES, join


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
        heard, *others = map(int, keys)
        first = heard if others else 1000 + heard
        assert Counter(row["speech_token"]) == Counter(
            {first: 20 + heard % 50} | {1000 + i: 20 + i % 50 for i in others}
        )
        assert len(row["speech_token"]) <= MAX_TOKENS


def test_the_seed_decides():
    assert join(rows(), seed=1) == join(rows(), seed=1) != join(rows(), seed=2)
