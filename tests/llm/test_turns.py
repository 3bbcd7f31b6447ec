"""The host's side of a row whose text arrives: turns of any length, as they are learnt."""

from dataclasses import replace

from cosy_jax.config import SamplingConfig
from cosy_jax.llm.bistream import after_turn, begin, next_turn, take
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.sampling import RasSampler
from cosy_jax.train.llm.layout import training_row
from tests.llm.test_bistream import CONFIG, END, SPEECH, TEXT, prompt, speech_part, text_part


def test_the_host_lays_out_turns_as_they_are_learnt():
    """The prompt's too: the row that decoding appends is the row that training makes."""
    config = replace(CONFIG, text_turn=3, speech_turn=4)
    ids = [56, 265, END, *TEXT]
    before = take(begin(prompt(ids, SPEECH[:6]), DecodePolicy(config, RasSampler(SamplingConfig()))), [])
    turns = (*speech_part(SPEECH[:4]), *text_part(ids[6:9]), *speech_part(SPEECH[4:6]))
    assert before.pending == ((config.sos_id, False), *text_part(ids[:6]), *turns)
    assert before.until_fill == 2
    turn = next_turn(after_turn(before, [7, 8]))
    assert turn is not None
    assert turn.pending == tuple(text_part(ids[9:12])) and turn.until_fill == 4
    learnt = training_row([56, 265, END], TEXT[:9], [*SPEECH[:6], 7, 8, 1, 2, 3, 4], config, turns=True)
    decoded = [i for i, _ in (*before.pending, (7, False), (8, False), *turn.pending)]
    assert learnt.ids.tolist()[: len(decoded)] == decoded
