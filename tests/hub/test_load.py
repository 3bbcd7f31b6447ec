"""A file from a hub, through the clients' own code, while everything goes wrong."""

import os
import resource
from contextlib import contextmanager

import pytest

from cosy_jax.errors import CosyError
from cosy_jax.hub.load import load_file
from cosy_jax.hub.remote import DroppedError
from tests.hub.loopback import REPOSITORY

PATH, SMALL = "flow.pt", "CosyVoice-BlankEN/config.json"


@pytest.fixture
def content(files):
    return (files / PATH).read_bytes()


@pytest.fixture
def load(client, tmp_path):
    """Loads the file into `tmp_path / "in"`; gives its content, and keeps what was told."""

    def loaded(path=PATH):
        listing = client.listing(REPOSITORY, None)
        load_file(client, REPOSITORY, listing.revision, listing.files[path], tmp_path / "in", loaded.told.append)
        return (tmp_path / "in" / path).read_bytes()

    loaded.told = []
    return loaded


def part(tmp_path):
    return tmp_path / "in" / f"{PATH}.part"


def begins(loopback):
    return [first for _, first, _ in loopback.log]


@pytest.mark.parametrize("path", [PATH, SMALL])
def test_a_file_comes_whole(path, load, loopback, files):
    content = (files / path).read_bytes()
    assert load(path) == content and load.told[-1] == len(content)
    assert load(path) == content and loopback.asked() == {path: 1}


def test_the_token_goes_to_the_hub_and_not_to_its_store(token, client, loopback):
    loopback.faults.private = True
    listing = client.listing(REPOSITORY, None)
    for path in (PATH, SMALL):
        with client.open(REPOSITORY, listing.revision, path, 0) as body:
            assert next(body.chunks)
    assert [(path, token in headers) for path, _, headers in loopback.log] == [(PATH, False), (SMALL, True)]


def test_a_cut_connection_is_continued(load, loopback, content):
    loopback.faults.cuts[PATH] = [140_000, 20_000, 0]
    assert load() == content
    first, second, third, fourth = begins(loopback)
    assert first == 0 < second <= 140_000 and second <= third <= second + 20_000 and fourth == third
    assert load.told == sorted(load.told)


def test_what_an_earlier_call_left_is_continued(load, loopback, content, tmp_path):
    loopback.faults.cuts[PATH] = [140_000, *[0] * 10]
    with pytest.raises(CosyError, match=r"broke off at [\d,]+ of the [\d,]+ bytes of flow.pt \(.*\), again and again"):
        load()
    left = part(tmp_path).read_bytes()
    assert 0 < len(left) <= 140_000 and content.startswith(left)
    assert len(loopback.log) == 4  # one that brought something, then a try behind each wait
    loopback.faults.cuts.clear()
    loopback.log.clear()
    assert load() == content and begins(loopback) == [len(left)] and not part(tmp_path).exists()


def test_a_file_that_ends_too_early(load, loopback, content, tmp_path):
    loopback.faults.lengths[PATH] = 100_000
    with pytest.raises(CosyError, match="broke off at 100,000 of"):
        load()
    loopback.faults.lengths.clear()
    assert load() == content


def test_another_digest_than_the_listing_is_refused(load, loopback, content, tmp_path):
    loopback.faults.contents[PATH] = bytes(len(content))
    with pytest.raises(CosyError, match="gives flow.pt of FunAudioLLM/.* with another digest than it lists"):
        load()
    assert not part(tmp_path).exists() and not (tmp_path / "in" / PATH).exists() and loopback.asked() == {PATH: 1}
    loopback.faults.contents.clear()
    assert load() == content


def test_git_digests_are_checked_too(load, loopback, files):
    loopback.faults.contents[SMALL] = (files / SMALL).read_bytes()[::-1]
    with pytest.raises(CosyError, match="with another digest"):
        load(SMALL)


@pytest.mark.parametrize("left", [100, 300_000])
def test_the_part_of_another_revision_is_given_up(left, load, content, tmp_path):
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(bytes(left))
    assert load() == content


def test_a_damaged_file_is_loaded_again(load, content, tmp_path):
    part(tmp_path).parent.mkdir()
    (tmp_path / "in" / PATH).write_bytes(content[:-1] + b"?")
    assert load() == content


def test_a_hub_without_ranges_begins_again(load, loopback, content):
    loopback.faults.no_ranges = True
    loopback.faults.cuts[PATH] = [140_000]
    assert load() == content and begins(loopback)[1] > 0


def test_what_is_longer_than_listed_is_cut(load, loopback, content):
    loopback.faults.contents[PATH] = content + bytes(100_000)
    assert load() == content


def test_statuses(load, loopback, content):
    loopback.faults.statuses[PATH] = [503, 429]
    assert load() == content and len(loopback.log) == 3


def test_a_refusal_is_said_at_once(load, loopback, monkeypatch):
    loopback.faults.statuses[PATH] = [403]
    with pytest.raises(CosyError, match="or not for you .HTTP 403.*set (HF|MODELSCOPE_API)_TOKEN") as caught:
        load()
    assert len(loopback.log) == 1 and "ignature" not in str(caught.value)


@contextmanager
def files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_no_room(load, loopback, content, tmp_path):
    with files_of_at_most(100_000), pytest.raises(CosyError, match="Cannot write .*flow.pt.part: File too large"):
        load()
    left = os.path.getsize(part(tmp_path))
    assert 0 < left <= 100_000
    assert load() == content and begins(loopback) == [0, left]


def test_a_range_that_was_not_asked_for(client, loopback, tmp_path, monkeypatch):
    """Some proxies answer with another range: nothing of it is written."""
    monkeypatch.setattr("cosy_jax.hub.load.WAITS", ())
    listing = client.listing(REPOSITORY, None)
    file = listing.files[PATH]
    part(tmp_path).parent.mkdir()
    part(tmp_path).write_bytes(b"123")
    asked = client.open
    monkeypatch.setattr(client, "open", lambda *words: asked(*words[:3], words[3] + 1))
    with pytest.raises(CosyError, match="an answer for another place"):
        load_file(client, REPOSITORY, listing.revision, file, tmp_path / "in", lambda _: None)
    assert part(tmp_path).read_bytes() == b"123"


def test_a_hub_that_is_gone(client, loopback, point_at, tmp_path):
    listing = client.listing(REPOSITORY, None)
    point_at("http://127.0.0.1:9")  # discard: nobody listens
    gone = type(client)()
    with pytest.raises(CosyError, match=r"broke off at 0 of .* \(no connection\)"):
        load_file(gone, REPOSITORY, listing.revision, listing.files[PATH], tmp_path, lambda _: None)
    with pytest.raises(DroppedError, match="no connection"):
        gone.listing(REPOSITORY, None)
