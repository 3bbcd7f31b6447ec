"""The folder that a conversion writes: what it replaces, what it leaves alone, what is left of one that was killed."""

import hashlib
import json
import shutil

import pytest

from cosy_jax.checkpoint.reader import STAGES
from cosy_jax.conversions.convert import convert
from cosy_jax.conversions.output import check_output
from cosy_jax.conversions.tokenizer_files import TOKENIZER_FILES
from cosy_jax.errors import CosyError
from tests.conversions.release import write_release


@pytest.fixture(scope="module")
def release(tmp_path_factory):
    folder = tmp_path_factory.mktemp("release") / "model"
    write_release(folder)
    return folder


@pytest.fixture(scope="module")
def converted(release, tmp_path_factory):
    folder = tmp_path_factory.mktemp("converted") / "out"
    convert(release, folder)
    return folder


@pytest.fixture
def out(converted, tmp_path):
    """A conversion that a test may change."""
    return shutil.copytree(converted, tmp_path / "out")


def test_every_file_is_recorded(converted):
    records = json.loads((converted / "config.json").read_text())["files"]
    names = [f"{stage}.safetensors" for stage in STAGES] + [f"tokenizer/{name}" for name in TOKENIZER_FILES]
    assert sorted(records) == sorted(names)
    for name, record in records.items():
        content = (converted / name).read_bytes()
        assert record == {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


@pytest.mark.parametrize(
    "name", ["notes.txt", "tokenizer/notes.txt", "tokenizer/mine/notes.txt", "tokenizer/merges.bak"]
)
def test_a_folder_with_a_file_of_the_user_is_refused(release, out, name):
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).write_text("mine")
    shown = "/".join(name.split("/")[:2])
    with pytest.raises(CosyError, match=rf"no converted model \({shown}\): name a new or empty folder"):
        convert(release, out)
    assert (out / name).read_text() == "mine"


@pytest.mark.parametrize("name", ["llm.safetensors", "tokenizer/vocab.json", "config.json"])
def test_a_folder_in_the_place_of_a_file_is_refused(out, name):
    (out / name).unlink()
    (out / name).mkdir()
    (out / name / "mine.txt").write_text("mine")
    with pytest.raises(CosyError, match="no converted model"):
        check_output(out)


@pytest.mark.parametrize("content", ["[1, 2]", '"format_version"', "[" * 100_000, '{"name": "mine"}', ""])
def test_a_config_of_another_kind_is_refused(out, content):
    (out / "config.json").write_text(content)
    with pytest.raises(CosyError, match="no converted model"):
        check_output(out)


def test_a_file_that_appears_during_the_conversion_is_kept(release, out):
    def progress(*_):
        (out / "tokenizer" / "notes.txt").write_text("mine")

    with pytest.raises(CosyError, match=r"tokenizer/notes\.txt"):
        convert(release, out, progress=progress)
    assert (out / "tokenizer" / "notes.txt").read_text() == "mine"
    assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_an_earlier_conversion_alone_is_replaced(release, out):
    (out / "tokenizer" / "merges.txt").write_text("damaged")
    convert(release, out, dtype="bfloat16")
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert (out / "tokenizer" / "merges.txt").read_text().startswith("#version")
