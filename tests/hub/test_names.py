"""Names of releases, and where their weights are."""

import pytest

from cosy_jax.cli import main
from cosy_jax.cli.weights import find_weights, weights_at_hand
from cosy_jax.errors import CosyError
from cosy_jax.hub.names import RELEASES, find_downloaded, kept_in, list_downloaded, repository

SHORT = "Fun-CosyVoice3-0.5B"


@pytest.fixture
def kept():
    """What a download leaves, without its files."""
    folder = kept_in(SHORT)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_short_name_is_a_repository():
    assert repository(SHORT) == RELEASES[SHORT] == "FunAudioLLM/Fun-CosyVoice3-0.5B-2512"
    assert repository("somebody/her.model-1_2") == "somebody/her.model-1_2"


@pytest.mark.parametrize(
    "name",
    ["", "model", "a/b/c", "../b", "a/..", "a/.b", "/a", "a/", "a\\b/c", "a/b\n", "ä/b", "a" * 97 + "/b", "a/b\0"],
)
def test_other_names_are_refused_and_lead_nowhere(name):
    with pytest.raises(CosyError, match="No release is called .*: take Fun-CosyVoice3-0.5B, or OWNER/NAME on the hub"):
        kept_in(name)
    assert find_downloaded(name) is None


def test_where_weights_are_kept(kept, tmp_path):
    assert kept == tmp_path / "home/.local/share/cosy_jax/weights/FunAudioLLM/Fun-CosyVoice3-0.5B-2512"
    assert find_downloaded(SHORT) == find_downloaded(RELEASES[SHORT]) == kept
    other = kept_in("somebody/model")
    other.mkdir(parents=True)
    assert find_downloaded("somebody/model") is None  # nothing in it
    (kept.with_name("half.source")).mkdir()
    assert list(list_downloaded()) == [(SHORT, kept)]
    (other / "config.json").write_text("{}")
    assert list(list_downloaded()) == [(SHORT, kept), ("somebody/model", other)]


def test_without_a_home(monkeypatch):
    monkeypatch.setattr("cosy_jax.files.home", lambda: None)
    assert find_downloaded(SHORT) is None and not list(list_downloaded())
    with pytest.raises(CosyError, match="Nobody knows your home folder"):
        kept_in(SHORT)


def test_a_name_stands_for_its_folder_wherever_weights_are_asked(kept, tmp_path, monkeypatch):
    assert find_weights(SHORT) == weights_at_hand(SHORT) == find_weights(RELEASES[SHORT]) == str(kept)
    file = tmp_path / "home/.config/cosy_jax/config.toml"
    file.parent.mkdir(parents=True)
    file.write_text(f'weights = "{SHORT}"')
    assert find_weights(None) == str(kept)
    monkeypatch.setenv("COSY_JAX_WEIGHTS", RELEASES[SHORT])
    assert find_weights(None) == str(kept)


def test_a_folder_comes_before_a_name(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / SHORT).mkdir()
    assert find_weights(SHORT) == SHORT


def test_a_name_that_was_not_downloaded_says_how(capsys):
    with pytest.raises(CosyError, match=f"was not downloaded yet: run `cosy-jax download {SHORT}` first"):
        find_weights(SHORT)
    assert find_weights("some/folder") == "some/folder"


def test_info_lists_what_was_downloaded(kept, capsys):
    (kept_in("other/one")).mkdir(parents=True)
    (kept_in("other/one") / "config.json").write_text("{}")
    assert main(["info"]) == 0
    told = capsys.readouterr().out
    assert SHORT in told and "other/one" in told and told.count("damaged") == 2
    assert main(["info", "--verify"]) == 2 and "Say which weights to verify" in capsys.readouterr().err


def test_info_without_any(capsys):
    assert main(["info"]) == 0
    assert capsys.readouterr().out == f"No weights were downloaded: `cosy-jax download {SHORT}` does it.\n"
