"""Text in pieces: the layout of the row, and independence of how text and ids are cut."""

import itertools
import json
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from cosy_jax.config import LLMConfig, SamplingConfig
from cosy_jax.errors import CosyError
from cosy_jax.llm.bistream import BistreamContext, bistream_blocks, bistream_tokens
from cosy_jax.llm.decode import append
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.sampling import RasSampler
from cosy_jax.llm.speech_lm import SpeechLM
from cosy_jax.llm.state import empty
from cosy_jax.llm.stream import BlockDecoder
from cosy_jax.nn import buckets
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.nn.precision import FLOAT32
from cosy_jax.parity.checks.bistream import check_bistream
from tests.reference import REPOSITORY

CONFIG = LLMConfig()
END = 681  # <|endofprompt|> of the tiny model
TRANSCRIPT = [56, 265, END, 308, 645, 655, 628]
TEXT = [357, 338, 502, 350, 553, 344, 468, 344, 263, 578, 576, 552]
SPEECH = np.arange(100, 118)


def prompt(text=TRANSCRIPT, speech=SPEECH):
    return BistreamContext(text, speech, END)


def speak(synthesizer, text, seed=3, given=None, **options):
    key = jax.random.key(seed)
    return bistream_tokens(synthesizer.params("llm"), text, given or prompt(), key, synthesizer.policy(), **options)


def flat(blocks):
    return list(itertools.chain.from_iterable(blocks))


def singly(ids):
    return [[i] for i in ids]


@dataclass(frozen=True)
class Scripted:
    """The likeliest speech id; in up to two draws, which `script` writes into the key, the id given unless it is
    masked. So all scripts share the compiled programs."""

    sampling: SamplingConfig = SamplingConfig()

    def __call__(self, logits, recent, keys, step):
        ids = jnp.argmax(logits[:, : CONFIG.speech_token_size], axis=-1)
        for line in jax.random.key_data(keys).astype(jnp.int32).T:
            number, other = line >> 16, line & 0xFFFF
            allowed = jnp.isfinite(jnp.take_along_axis(logits, other[:, None], axis=1, mode="clip"))[:, 0]
            ids = jnp.where((step == number) & allowed, other, ids)
        return ids.astype(jnp.int32), jnp.zeros(ids.shape, bool)


def script(instead):
    """A key that holds (number of the draw, counted from 0, and the id drawn then)."""
    never = (0x7FFF, 0)
    lines = [number << 16 | other for number, other in (*instead, never, never)[:2]]
    return jax.random.wrap_key_data(jnp.asarray(lines, jnp.uint32))


def scripted(synthesizer, text, instead=(), given=None, reference_slips=False, **options):
    policy = DecodePolicy(synthesizer.config.llm, Scripted(), reference_slips=reference_slips)
    decoder = BlockDecoder(synthesizer.params("llm"), script(instead), policy)
    return flat(bistream_blocks(decoder, text, given or prompt(), **options))


def likeliest_after(synthesizer, row):
    """Of a whole row of (id, is_text), run at once: the likeliest speech id after each position."""
    config = synthesizer.config.llm
    ids, is_text = (jnp.asarray([column]) for column in zip(*row, strict=True))
    cache = init_cache(config, 1, len(row), FLOAT32)
    logits, _ = SpeechLM(config).apply({"params": synthesizer.params("llm")}, ids, is_text, cache)
    return np.argmax(np.asarray(logits)[0, :, : config.speech_token_size], axis=-1)


def text_part(ids):
    return [(i, True) for i in ids]


def speech_part(ids):
    return [(int(i), False) for i in ids]


def assert_drawn(synthesizer, parts):
    """Each drawn part (a list of ids) is the likeliest after what is before it in the row."""
    row, drawn = [], []
    for is_drawn, part in parts:
        drawn += range(len(row), len(row) + len(part)) if is_drawn else ()
        row += part
    likeliest = likeliest_after(synthesizer, row)
    assert [row[at][0] for at in drawn] == [int(likeliest[at - 1]) for at in drawn]


@pytest.mark.slow
def test_row_without_prompt_speech_takes_turns(synthesizer):
    config = synthesizer.config.llm
    tokens = scripted(
        synthesizer, singly(TEXT), given=prompt([56, 265, END], SPEECH[:0]), instead=((70, config.eos_id),)
    )
    assert len(tokens) == 70
    parts = [
        (False, [(config.sos_id, False), *text_part([56, 265, END, *TEXT[:5]])]),
        (True, speech_part(tokens[:15])),
        (False, text_part(TEXT[5:10])),
        (True, speech_part(tokens[15:30])),
        (False, [*text_part(TEXT[10:]), (config.task_id, False)]),
        (True, speech_part(tokens[30:])),
    ]
    assert_drawn(synthesizer, parts)


@pytest.mark.slow
def test_row_with_prompt_speech_and_a_fill_drawn_early(synthesizer):
    config = synthesizer.config.llm
    instead = ((4, config.fill_id), (40, config.eos_id))
    tokens = scripted(synthesizer, singly(TEXT), instead)
    placed = [*TRANSCRIPT[3:], *TEXT]  # 4 + 12 text ids
    assert len(tokens) == 39
    parts = [
        (False, [(config.sos_id, False), *text_part(TRANSCRIPT[:3])]),
        (
            False,
            [*text_part(placed[:5]), *speech_part(SPEECH[:15]), *text_part(placed[5:10]), *speech_part(SPEECH[15:])],
        ),
        (True, speech_part(tokens[:4])),
        (False, text_part(placed[10:15])),
        (True, speech_part(tokens[4:19])),
        (False, [*text_part(placed[15:]), (config.task_id, False)]),
        (True, speech_part(tokens[19:])),
    ]
    assert_drawn(synthesizer, parts)


@pytest.mark.slow
def test_prompt_speech_left_at_the_end_follows_the_task_id(synthesizer):
    config = synthesizer.config.llm
    tokens = scripted(synthesizer, singly(TEXT[:3]), ((20, config.eos_id),))
    placed = [*TRANSCRIPT[3:], *TEXT[:3]]
    parts = [
        (
            False,
            [(config.sos_id, False), *text_part(TRANSCRIPT[:3]), *text_part(placed[:5]), *speech_part(SPEECH[:15])],
        ),
        (False, [*text_part(placed[5:]), (config.task_id, False), *speech_part(SPEECH[15:])]),
        (True, speech_part(tokens)),
    ]
    assert len(tokens) == 20
    assert_drawn(synthesizer, parts)


def test_reference_slips_are_what_the_dump_holds(synthesizer):
    path = REPOSITORY / "tests" / "data" / "dumps" / "llm_bistream.json"
    assert all(check.ok for check in check_bistream(synthesizer, path))
    for case in json.loads(path.read_text())["cases"].values():
        given = BistreamContext(case["prompt_text"], np.asarray(case["prompt_speech_token"]), END)
        stop = ((case["stop_at_call"] - 1, CONFIG.eos_id),)
        ours = scripted(synthesizer, case["text_pieces"], stop, given)
        assert ours != case["speech_tokens"]


@pytest.mark.parametrize("block", [1, 4, 15, 100])
def test_blocks_and_pieces_do_not_change_the_ids(synthesizer, block):
    expected = flat(speak(synthesizer, [TEXT]))
    cut = [TEXT[:1], [], TEXT[1:8], TEXT[8:]]
    blocks = list(speak(synthesizer, iter(cut), block=block))
    assert flat(blocks) == expected and len(expected) > 30
    assert all(0 < len(ids) <= block for ids in blocks)


@pytest.mark.slow
def test_padding_and_growth_of_the_cache_do_not_change_the_ids(synthesizer, monkeypatch):
    expected = flat(speak(synthesizer, [TEXT]))
    monkeypatch.setattr(buckets, "LM_ARRIVING", (64, 96, 384))
    monkeypatch.setattr(buckets, "LM_APPENDED", (64, 80))
    assert flat(speak(synthesizer, [TEXT])) == expected


def test_same_seed_same_ids(synthesizer):
    assert (
        flat(speak(synthesizer, [TEXT], 5))
        == flat(speak(synthesizer, [TEXT], 5))
        != flat(speak(synthesizer, [TEXT], 6))
    )


def test_speech_comes_before_the_text_ends(synthesizer):
    pulled = []

    def text():
        for i in TEXT:
            pulled.append(i)
            yield [i]

    tokens = speak(synthesizer, text(), given=prompt([56, END], SPEECH[:0]))
    assert next(tokens) and len(pulled) == 5
    tokens.close()
    assert list(tokens) == [] and len(pulled) == 5
    assert flat(speak(synthesizer, [TEXT]))


def test_error_of_the_text_comes_after_the_ids_before_it(synthesizer):
    def text():
        yield TEXT[:8]
        raise RuntimeError("connection lost")

    heard = []
    with pytest.raises(RuntimeError, match="connection lost"):
        for block in speak(synthesizer, text()):
            heard += block
    assert heard and flat(speak(synthesizer, [TEXT]))[: len(heard)] == heard


def test_speech_is_bounded_by_the_text(synthesizer):
    assert len(scripted(synthesizer, singly(TEXT))) == 20 * len(TEXT)
    assert len(scripted(synthesizer, singly(TEXT[:1]))) == 20


def test_stop_ids_are_masked_while_text_may_come(synthesizer):
    params = synthesizer.params("llm")
    head = np.array(params["speech_head"]["kernel"])
    head[synthesizer.config.llm.speech_token_size :] *= 50.0
    head[synthesizer.config.llm.fill_id] = 0.0
    config = synthesizer.config
    loud = {**params, "speech_head": {"kernel": jnp.asarray(head)}}
    tokens = flat(bistream_tokens(loud, [TEXT], prompt(), jax.random.key(1), synthesizer.policy()))
    # Turns of 12, 15 and 15 at most, a few dropped as silence; then the loud ids end it.
    assert 20 <= len(tokens) < 60 and max(tokens) < config.llm.speech_token_size


@pytest.mark.parametrize("text", [[], [[]], [[], []]])
def test_empty_text(synthesizer, text):
    with pytest.raises(CosyError, match="empty"):
        list(speak(synthesizer, text))


def test_prompt_without_its_end_is_refused_at_the_call(synthesizer):
    with pytest.raises(CosyError, match="endofprompt"):
        speak(synthesizer, [TEXT], given=prompt([56, 265, 308]))


def test_bad_arguments(synthesizer):
    with pytest.raises(CosyError, match="blocks of 1 or more"):
        speak(synthesizer, [TEXT], block=0)
    with pytest.raises(CosyError, match="outside the vocabulary"):
        list(speak(synthesizer, [TEXT, [960]]))


@pytest.mark.slow
def test_a_row_longer_than_the_largest_cache(synthesizer, monkeypatch):
    monkeypatch.setattr(buckets, "LM_ARRIVING", (64, 96))
    with pytest.raises(CosyError, match="more than the 96 supported"):
        scripted(synthesizer, singly(TEXT))


def test_compilations_are_bounded(synthesizer):
    before = append._cache_size()
    list(speak(synthesizer, [TEXT]))
    assert append._cache_size() - before <= 2  # the prompt's bucket and the short one
    with count_compilations() as compiled:
        list(speak(synthesizer, [TEXT[:7]], seed=8, given=prompt(TRANSCRIPT[:5], SPEECH[:17]), block=4))
        list(speak(synthesizer, [TEXT, TEXT[:3]], seed=9, block=6))
    assert compiled.programs == 0


def test_a_fill_counts_as_an_id_drawn(synthesizer):
    config = synthesizer.config.llm
    ids, is_text = jnp.asarray([[5, 6, 0], [5, 6, 7]]), jnp.ones((2, 3), bool)
    policy = DecodePolicy(config, RasSampler(SamplingConfig(window=3)))
    state = empty(policy, policy.cache(2, 8), 8)
    filled = jnp.asarray([True, False])
    state = append(synthesizer.params("llm"), state, ids, is_text, jnp.asarray([2, 3]), filled, policy=policy)
    assert state.recent.tolist() == [[-1, -1, config.fill_id], [-1, -1, -1]]
    assert state.position.tolist() == [2, 3] and state.lengths.tolist() == [0, 0]
