import pytest

from cosy_jax.conversions.read_yaml import read_yaml
from cosy_jax.errors import CosyError


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


def test_names_a_missing_file(tmp_path):
    with pytest.raises(CosyError, match=r"a\.yaml is missing"):
        read_yaml(tmp_path / "a.yaml")
