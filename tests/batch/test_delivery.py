"""Between the manifest and the pipeline: what is still to speak, and what became of it."""

import threading

from cosy_jax.batch.delivery import Delivery
from cosy_jax.batch.manifest import BadLine
from cosy_jax.batch.messages import Failed, Spoken
from cosy_jax.batch.results import Results
from cosy_jax.batch.stats import Stats
from tests.batch.test_results import RATE, SAMPLES, check_whole, deliver, entries, line, outcome


def test_pending_leaves_out_what_was_spoken_and_delivers_what_is_bad(tmp_path):
    stats = Stats()
    with Results(tmp_path) as results:
        deliver(results, "a")
    with Results(tmp_path) as results:
        delivery = Delivery(results, stats, RATE)
        lines = delivery.pending([line("a"), BadLine(2, None, "Not JSON."), line("b"), line("c")])
        assert next(lines).key == "b" and delivery.in_flight == 1
        assert next(lines).key == "c" and delivery.in_flight == 2
        delivery.deliver(Spoken(outcome("b"), SAMPLES))
        assert delivery.in_flight == 1 and (stats.lines, stats.failed, stats.skipped) == (2, 1, 1)
        assert (stats.audio_seconds, stats.tokens) == (0.2, 5)
        for _ in range(20):
            delivery.deliver(Failed(outcome(error="No.")))
        assert len(delivery.failures) == 10 and stats.failed == 21


def test_deliveries_from_several_threads(tmp_path):
    stats = Stats()
    with Results(tmp_path) as results:
        delivery = Delivery(results, stats, RATE)

        def work(name):
            for index in range(50):
                delivery.deliver(Spoken(outcome(f"{name}{index}"), SAMPLES))
                delivery.deliver(Failed(outcome(f"{name}-{index}", error="No.")))

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert (stats.lines, stats.failed) == (200, 100) and len(entries(tmp_path)) == 200
    check_whole(tmp_path, [f"{name}{index}" for name in "ab" for index in range(50)])
