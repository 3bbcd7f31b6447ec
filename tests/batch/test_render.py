"""Parts on their way through flow and vocoder."""

from cosy_jax.batch.messages import FailedPart
from cosy_jax.batch.render import _grouped
from cosy_jax.errors import CosyError
from tests.batch.test_messages import audio_part, utterance


def test_a_part_too_long_for_a_stage_fails_alone():
    parts = [audio_part(utterance(), tokens=tokens).source for tokens in (5, 9000, 5)]

    def bucket(part):
        if len(part.decoded.tokens) > 7500:
            raise CosyError("The speech is 9000 long: split the text.")
        return 25

    failed, batch = _grouped(parts, 2, bucket)
    assert isinstance(failed, FailedPart) and failed.part is parts[1].part
    assert failed.error == "The speech is 9000 long: split the text."
    assert batch == [parts[0], parts[2]]
