"""What a hub lists, and what is said where it does not."""

import hashlib
import json
import logging
import sys

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.hub.hugging_face import HuggingFace
from cosy_jax.hub.model_scope import ModelScope
from tests.hub.loopback import COMMIT, REPOSITORY, git_digest


def test_sizes_and_digests(client, files, loopback):
    listing = client.listing(REPOSITORY, "v1")
    large, small = listing.files["flow.pt"], listing.files["CosyVoice-BlankEN/config.json"]
    content = (files / large.path).read_bytes()
    assert (large.size, large.digest, large.git) == (len(content), hashlib.sha256(content).hexdigest(), False)
    content = (files / small.path).read_bytes()
    digest = git_digest(content) if small.git else hashlib.sha256(content).hexdigest()
    assert (small.size, small.digest) == (len(content), digest) and small.is_content_of(files / small.path)
    assert sorted(listing.files) == sorted(name for name in loopback.paths)  # folders are none


def test_a_branch_is_the_commit_that_it_is_now(loopback):
    """Else files of two commits could come together."""
    assert HuggingFace().listing(REPOSITORY, None).revision == COMMIT


@pytest.mark.parametrize(("name", "revision"), [("FunAudioLLM/absent", None), (REPOSITORY, "absent")])
def test_a_wrong_name(name, revision, client):
    with pytest.raises(CosyError, match=f"has no {name} of this revision, or not for you .HTTP 404.: check name and"):
        client.listing(name, revision)


def test_a_private_model(client, loopback):
    loopback.faults.private = True
    with pytest.raises(CosyError, match="or not for you .HTTP 401.: .* set (HF_TOKEN|MODELSCOPE_API_TOKEN)"):
        client.listing(REPOSITORY, None)


def test_a_wrong_token_is_not_shown(token, client, loopback, caplog, capsys, monkeypatch):
    monkeypatch.setattr("tests.hub.loopback.TOKEN", "another")
    loopback.faults.private = True
    with caplog.at_level(logging.DEBUG), pytest.raises(CosyError) as caught:
        client.listing(REPOSITORY, None)
    told = capsys.readouterr()
    assert token not in str(caught.value) + caplog.text + told.out + told.err


@pytest.mark.parametrize("answer", [b"<html>Log in to this network</html>", b"[3]", b'{"siblings": 3, "Data": "no"}'])
def test_something_else_than_a_listing(answer, client, loopback):
    loopback.faults.listing = answer
    try:
        assert not client.listing(REPOSITORY, None).files
    except CosyError as error:
        assert "answers with no list of files: check the endpoint" in str(error)


def test_entries_that_could_not_be_checked_are_none(client, loopback, files):
    entries = json.loads(loopback.hugging_face())
    entries["siblings"] = [{**entry, "lfs": None, "blobId": "../../evil"} for entry in entries["siblings"]]
    found = json.loads(loopback.model_scope())["Data"]["Files"]
    entries["Data"] = {"Files": [{**entry, "Sha256": "evil"} for entry in found]}
    loopback.faults.listing = json.dumps(entries).encode()
    assert not client.listing(REPOSITORY, None).files


@pytest.mark.parametrize(
    ("hub", "module", "name"),
    [(HuggingFace, "huggingface_hub", "Hugging Face"), (ModelScope, "modelscope_hub", "ModelScope")],
)
def test_without_the_extra(hub, module, name, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(CosyError, match=rf"{name} needs its client: pip install 'cosy_jax\[hub\]'"):
        hub()


def test_offline_by_the_environment(loopback, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CosyError, match="HF_HUB_OFFLINE keeps"):
        HuggingFace().listing(REPOSITORY, None)
