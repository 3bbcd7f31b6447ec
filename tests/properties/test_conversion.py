"""A released folder of any sizes, in any spelling, becomes the parameters that it was written from, bit by bit."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file

from cosy_jax.checkpoint.reader import load_config
from cosy_jax.config import (
    FlowConfig,
    LLMConfig,
    ModelConfig,
    PromptMelConfig,
    SpeakerEncoderConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy_jax.conversions.convert import convert
from tests.conversions.release import TOKENIZER_SIZE, write_release
from tests.properties.profile import examples

PLAIN = 2  # the spelling of the vocoder's kernels without weight norm


@st.composite
def configs(draw):
    """Small sizes, as far as they are free: some are fixed by others, or in the released files by the code."""

    def some(least, most, times=1):
        return times * draw(st.integers(least, most))

    kv_heads, code_dim, mel_bands, groups = some(1, 2), some(1, 3), some(3, 8), FlowConfig.conv_groups
    heads, codes = some(1, 3, kv_heads), 3**code_dim
    return ModelConfig(
        llm=LLMConfig(
            text_vocab_size=TOKENIZER_SIZE + some(0, 30),
            hidden_size=some(1, 3, 2 * heads),
            num_layers=draw(st.integers(1, 3) | st.just(11)),  # a number of two digits too
            num_heads=heads,
            num_kv_heads=kv_heads,
            intermediate_size=some(1, 20),
            speech_token_size=codes,
            speech_vocab_size=codes + 200,
        ),
        flow=FlowConfig(
            token_vocab_size=codes,
            mel_bands=mel_bands,
            lookahead_channels=some(1, 20),
            dim=some(1, 2, groups),
            depth=some(1, 3),
            heads=some(1, 3),
            head_dim=some(1, 4, 2),
        ),
        vocoder=VocoderConfig(mel_bands=mel_bands, base_channels=some(1, 2, 8), f0_channels=some(1, 8)),
        speech_tokenizer=SpeechTokenizerConfig(some(1, 12), dim=64, heads=1, num_blocks=some(1, 3), code_dim=code_dim),
        speaker_encoder=SpeakerEncoderConfig(
            feature_bands=some(1, 2, 8),
            head_channels=some(1, 4),
            init_channels=some(1, 3, 4),
            growth=some(1, 3, 4),
            bottleneck_channels=some(1, 3, 2),
            block_layers=(some(1, 3), some(1, 2), some(1, 2)),
        ),
        prompt_mel=PromptMelConfig(mel_bands=mel_bands),
    )


@pytest.mark.slow
@examples(8)
@given(config=configs(), file_type=st.sampled_from(["pt", "safetensors"]), spelling=st.integers(0, PLAIN))
def test_a_released_folder_comes_back(config, file_type, spelling):
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        params = write_release(folder / "model", file_type, config, spelling)
        convert(folder / "model", folder / "out")
        assert load_config(folder / "out") == config
        for stage, wanted in params.items():
            found = load_file(folder / "out" / f"{stage}.safetensors")
            assert found.keys() == wanted.keys()
            for path, values in wanted.items():
                weight_norm = stage == "vocoder" and path.endswith("kernel") and values.ndim == 3 and spelling != PLAIN
                assert_same(found[path], values, units=int(weight_norm))


def assert_same(found, wanted, units):
    """Equal shapes, types and bits; or up to `units` in the last place: the norm that weight norm keeps beside a
    kernel is a rounded number."""
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)
    if units:
        np.testing.assert_array_max_ulp(found, wanted, units)
    else:
        assert found.tobytes() == wanted.tobytes()
