from dataclasses import replace

import numpy as np
import pytest
import soundfile
from safetensors.numpy import load_file

from cosy_jax.config import ModelConfig, SpeakerEncoderConfig, SpeechTokenizerConfig
from cosy_jax.errors import CosyError
from cosy_jax.nn.compile_log import count_compilations
from cosy_jax.parity.check import within_log
from cosy_jax.prompt.encode import encode_prompt
from cosy_jax.prompt.speaker_encoder import SpeakerEncoder
from cosy_jax.prompt.speech_tokenizer import SpeechTokenizer
from tests.prompt.random_params import random_params
from tests.reference import REPOSITORY

CONFIG = replace(
    ModelConfig(),
    speech_tokenizer=SpeechTokenizerConfig(dim=64, heads=2, num_blocks=1),
    speaker_encoder=SpeakerEncoderConfig(
        head_channels=8, init_channels=16, growth=8, bottleneck_channels=16, block_layers=(1, 1, 1)
    ),
)


@pytest.fixture(scope="module")
def params():
    modules = (SpeechTokenizer(CONFIG.speech_tokenizer), 128), (SpeakerEncoder(CONFIG.speaker_encoder), 80)
    return [random_params(module, np.zeros((1, 16, bands)), np.asarray([16])) for module, bands in modules]


def noise(seconds, rate=24000):
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))


def test_recorded_prompt(synthesizer):
    end = load_file(REPOSITORY / "tests/data/dumps/end_to_end.safetensors")
    prompt = synthesizer.voice(REPOSITORY / "tests/data/prompt_0.flac").prompt
    np.testing.assert_array_equal(prompt.speech_tokens, end["prompt_token"][0])
    np.testing.assert_allclose(prompt.speaker_embedding, end["embedding"][0], rtol=0, atol=1e-4)
    mel = within_log("mel", prompt.mel, end["prompt_feat"][0], 1e-4, 10**-2.5)
    assert mel.ok, mel


# 1.03 s: 51 mel frames and 26 tokens; 1.01 s: 50 mel frames and 26 tokens.
@pytest.mark.parametrize(("seconds", "count"), [(0.05, 1), (1.0, 25), (1.01, 25), (1.03, 25), (1.04, 26)])
def test_two_mel_frames_a_token(params, seconds, count):
    prompt = encode_prompt((noise(seconds), 24000), *params, CONFIG)
    assert (prompt.speech_tokens.shape, prompt.speech_tokens.dtype) == ((count,), np.int32)
    assert (prompt.mel.shape, prompt.mel.dtype) == ((2 * count, 80), np.float32)
    assert (prompt.speaker_embedding.shape, prompt.speaker_embedding.dtype) == ((192,), np.float32)
    assert np.isfinite(prompt.mel).all() and np.isfinite(prompt.speaker_embedding).all()


def test_file_and_array_agree(params, tmp_path):
    samples = noise(1.5, 44100).astype(np.float32)
    soundfile.write(tmp_path / "prompt.wav", samples, 44100, "FLOAT")
    array = encode_prompt((samples, 44100), *params, CONFIG)
    file = encode_prompt(tmp_path / "prompt.wav", *params, CONFIG)
    for name in ("speech_tokens", "mel", "speaker_embedding"):
        np.testing.assert_array_equal(getattr(array, name), getattr(file, name))


def test_lengths_share_programs(params):
    with count_compilations() as first:
        encode_prompt((noise(2.6), 24000), *params, CONFIG)
    with count_compilations() as second:
        for seconds in (2.7, 3.9, 5.0):
            encode_prompt((noise(seconds), 24000), *params, CONFIG)
    assert first.programs <= 2
    assert second.programs == 0


def test_unusable_recordings(params):
    with pytest.raises(CosyError, match=r"0\.040 s long, too short for one speech token"):
        encode_prompt((noise(0.04), 24000), *params, CONFIG)
    with pytest.raises(CosyError, match=r"30\.5 s long: cut it"):
        encode_prompt((noise(30.5), 24000), *params, CONFIG)
