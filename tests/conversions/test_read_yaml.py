import time
from itertools import pairwise

import pytest

from cosy_jax.conversions.read_yaml import read_yaml
from cosy_jax.errors import CosyError
from tests.conversions.hostile import refuse


def read(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    return read_yaml(tmp_path / "a.yaml")


def test_tags_become_plain_data(tmp_path):
    data = read(
        tmp_path,
        "model: !new:some.Model\n    width: 3\n"
        "seed: !apply:os.system [touch ran]\n"
        "call: !name:some.function\n"
        "text: !name:some.function words\n",
    )
    assert data == {
        "model": {"!tag": "new:some.Model", "width": 3},
        "seed": {"!tag": "apply:os.system", "args": ["touch ran"]},
        "call": {"!tag": "name:some.function"},
        "text": {"!tag": "name:some.function", "args": ["words"]},
    }


def test_references_are_resolved_where_they_name_numbers_or_text(tmp_path):
    data = read(
        tmp_path,
        "a: 3\nb: 4\nname: x\nobject: !new:some.Model\n"
        "chain: !ref <product>\nproduct: !ref <a> * <b>\ndeep:\n    - {sum: !ref <a>, half: !ref <b> * 2}\n"
        "word: !ref <name>\nother: !ref <object>\nnested: !ref <a[b]>\nunknown: !ref <c> * <a>\n"
        "loop: !ref <loop>\n",
    )
    assert data["chain"] == data["product"] == 12
    assert data["deep"] == [{"sum": 3, "half": 8}]
    assert data["word"] == "x"
    assert (data["other"], data["nested"], data["unknown"]) == ("<object>", "<a[b]>", "<c> * <a>")
    assert data["loop"] == "<loop>"


@pytest.mark.parametrize(
    "text, reason",
    [
        ("a: !!python/object/apply:os.system [ls]", "not readable as YAML"),
        ("a: [1, 2", "not readable as YAML"),
        ("- 1\n- 2", "not a mapping"),
    ],
)
def test_refuses_what_is_not_plain(tmp_path, text, reason):
    with pytest.raises(CosyError, match=reason):
        read(tmp_path, text)


NESTED = "a: " + "[" * 500 + "]" * 500
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LAUGHS = "a: &a [x, x]\n" + "".join(f"{y}: &{y} [*{x}, *{x}, *{x}]\n" for x, y in pairwise(LETTERS))
MERGES = "a: &a {x: 1}\n" + "".join(f"{y}: &{y} {{<<: [*{x}, *{x}, *{x}], {y}: 1}}\n" for x, y in pairwise(LETTERS))


HOSTILE = {
    "an alias of itself": "a: &a [*a]",
    "an alias within what it names": "a: &a {b: *a}",
    "billion laughs": LAUGHS,
    "billion merges": MERGES,
    "deep lists": NESTED,
    "deep mappings": NESTED.replace("[", "{x: ").replace("]", "}"),
    "deep blocks": "\n".join("  " * level + "a:" for level in range(200)),
    "deep dashes": "a:\n " + "- " * 200,
    "no such day": "a: 2020-13-45",
    "no such hour": "a: 2020-01-01 25:61:61",
    "no time": "a: !!timestamp soon",
    "no whole number": "a: !!int many",
    "no number": "a: !!float much",
    "no character": 'a: "\\UFFFFFFFF"',
    "many digits": "a: " + "9" * 5000,
    "many hexadecimal digits": "a: 0x" + "f" * 5000,
    "a tag of Python's": "a: !!python/tuple [1]",
    "a mapping as a key": "? {a: 1}\n: 2",
    "an escape sequence": "a: \x1b[31m",
    "a long key": "a: " + "x" * 2000 + ": b",
    "a long error": "a: " + "[" * 3 + "\n- " * 3000,
    "many values": "".join(f"a{index}: {index}\n" for index in range(6000)),
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_bombs_and_impossible_values_are_one_short_sentence(tmp_path, text):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    refuse(read_yaml, path, r"a\.yaml is not readable as YAML \(")


def test_a_file_larger_than_settings_is_not_parsed(tmp_path):
    with pytest.raises(CosyError, match=r"a\.yaml is larger than 256 KiB"):
        read(tmp_path, "#\n" * 150_000)


def test_anchors_of_a_sane_size_are_followed(tmp_path):
    data = read(tmp_path, "a: &a {x: 1}\nb: *a\nc:\n    <<: *a\n    y: 2\n")
    assert data == {"a": {"x": 1}, "b": {"x": 1}, "c": {"x": 1, "y": 2}}


def test_bombs_of_references_stay_text(tmp_path):
    """Each would be a number of 10^18 digits, or take as many steps."""
    powers = "a: 9\n" + "".join(f"{y}: !ref {'*'.join([f'<{x}>'] * 8)}\n" for x, y in pairwise(LETTERS))
    started = time.process_time()
    data = read(tmp_path, f"{powers}many: !ref {'*'.join(['<a>'] * 200)}\nround: !ref <about>\nabout: !ref <round>\n")
    assert data["b"] == 9**8 and data["d"] == "*".join(["<c>"] * 8)
    assert data["many"].startswith("<a>*<a>") and (data["round"], data["about"]) == ("<about>", "<round>")
    assert time.process_time() - started < 2


def test_names_a_missing_file(tmp_path):
    with pytest.raises(CosyError, match=r"a\.yaml is missing"):
        read_yaml(tmp_path / "a.yaml")
