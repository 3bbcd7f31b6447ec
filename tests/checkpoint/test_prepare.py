"""Parameters in a TPU's form speak as those that are stored do."""

import jax
import numpy as np
import pytest

from cosy_jax.checkpoint.prepare import prepare
from cosy_jax.compare.snr import snr_db
from cosy_jax.nn import backend
from cosy_jax.prompt.encode import Prompt, speech_tokens
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.synthesis.synthesizer import Synthesizer
from tests.conftest import TINY


def prompt():
    random = np.random.default_rng(0)
    mel = random.normal(-6, 2, (20, 80)).astype(np.float32)
    return Prompt(np.arange(10, dtype=np.int32), mel, random.standard_normal(192, np.float32))


def rendered(synthesizer):
    mel = synthesizer.mel(np.arange(100, 115, dtype=np.int32), prompt())
    return mel, synthesizer.vocode(mel)


@pytest.mark.slow
def test_looped_stages_speak_the_same(synthesizer):
    with backend.pretend("tpu"):
        looped = Synthesizer(TINY, llm="base")
        assert "blocks" in looped.params("flow")["dit"] and "stages" in looped.params("vocoder")
        # What is not on the device would be sent there with every call.
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(looped.params("vocoder")))
        mel, audio = rendered(looped)
    wanted = rendered(synthesizer)
    assert np.abs(mel - wanted[0]).max() < 1e-4
    # The phase sums F0 over time, so that the audio is further off than its mel.
    assert snr_db(audio, wanted[1]) > 50


def test_a_looped_speech_tokenizer_gives_the_same_ids(synthesizer):
    samples = 0.1 * np.random.default_rng(0).standard_normal(24_000).astype(np.float32)
    config, params = synthesizer.config, synthesizer.params("speech_tokenizer")
    with backend.pretend("tpu"):
        looped = prepare("speech_tokenizer", params, config)
    assert "blocks" in looped and "blocks_0" not in looped
    wanted = speech_tokens(samples, params, config)
    np.testing.assert_array_equal(speech_tokens(samples, looped, config), wanted)
    assert len(set(wanted.tolist())) > 5


def test_a_looped_speaker_encoder_gives_the_same_embedding(synthesizer):
    fbank = np.random.default_rng(0).standard_normal((2, 150, 80)).astype(np.float32)
    lengths = np.asarray([150, 97], np.int32)
    config, params = synthesizer.config, synthesizer.params("speaker_encoder")
    wanted = embed_speaker(params, config.speaker_encoder, fbank, lengths)
    with backend.pretend("tpu"):
        looped = prepare("speaker_encoder", params, config)
        found = embed_speaker(looped, config.speaker_encoder, fbank, lengths)
    assert {f"block{b}" for b in (1, 2, 3)} <= set(looped) and "block1_0" not in looped
    assert np.abs(wanted).max() > 0
    np.testing.assert_allclose(found, wanted, atol=1e-5 * np.abs(wanted).max())


def test_other_platforms_and_stages_keep_what_is_stored(synthesizer):
    params = {"dit": {}}
    assert prepare("flow", params, synthesizer.config) is params
    with backend.pretend("gpu"):
        assert prepare("flow", params, synthesizer.config) is params
    with backend.pretend("tpu"):
        assert prepare("llm", params, synthesizer.config) is params
        kept = Synthesizer(TINY, llm="base", as_stored=True)
        assert "ups_0" in kept.params("vocoder")
