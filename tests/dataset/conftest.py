"""A small training set."""

import pytest

from cosy_jax.dataset.build import build_dataset
from cosy_jax.dataset.encode import Bounds, Encoders
from cosy_jax.dataset.sources import read_source
from tests.conftest import TINY
from tests.dataset.recordings import line, manifest, piece


@pytest.fixture(scope="session")
def encoders():
    return Encoders(TINY, Bounds())


@pytest.fixture(scope="session")
def build(encoders):
    """Builds without being asked for more than where from and where to."""

    def build(source, out, shard_size=2, progress=lambda what, done, total: None):
        return build_dataset(read_source(source), encoders, out, shard_size, progress)

    return build


@pytest.fixture(scope="session")
def recorded(tmp_path_factory):
    """Five recordings of two speakers, one with a rejected reading, and their manifest."""
    folder = tmp_path_factory.mktemp("recorded")
    for number, (start, stop) in enumerate([(0, 1.3), (0.5, 2.9), (1, 3.01), (0, 2.33)]):
        piece(folder / f"a{number}", start, stop)
    piece(folder / "b0", 0.2, 1.9, source=1, suffix=".flac")
    lines = [line(f"a{number}") for number in range(3)]
    lines.append(line("a3", instruct="Speak happily.", rejected_wav="a0.wav"))
    return manifest(folder, *lines, line("b0", "b0.flac", "ben", instruct="Softly.<|endofprompt|>"))


@pytest.fixture(scope="session")
def data(recorded, build, tmp_path_factory):
    """The folder of what is made of them."""
    folder = tmp_path_factory.mktemp("data") / "out"
    build(recorded, folder)
    return folder
