"""A line that is spoken over its own earlier file."""

import pytest

from cosy_jax.batch.origin import file_digest
from cosy_jax.batch.results import Results
from tests.batch.test_results import KILLS, SAMPLES, deliver, done, entries, killed_in


@pytest.mark.parametrize("step", KILLS)
def test_kill_while_a_line_is_spoken_again(tmp_path, monkeypatch, step):
    """What the latest entry says is what is in the file, under its name, whichever of the two it is."""
    with Results(tmp_path) as results:
        deliver(results, "b")
    with Results(tmp_path) as results, killed_in(monkeypatch, *KILLS[step]):
        deliver(results, "b", samples=SAMPLES[::-1].copy())
    with Results(tmp_path) as results:
        assert done(results, "b")
    latest = entries(tmp_path)[-1]
    assert latest["run"] == (2 if step in list(KILLS)[4:] else 1)
    assert latest["digests"]["audio"] == file_digest(tmp_path / "b.wav")
    with Results(tmp_path) as results:
        deliver(results, "b")
    assert not list(tmp_path.glob(".*"))
