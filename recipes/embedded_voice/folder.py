"""A converted folder of random weights in the embedded voice's sizes, which training from nothing begins with.

    python -m recipes.embedded_voice.folder --out build/embedded_voice/start

Its text is bytes, letters for English, and one id for the system prompt. With some thousand sentences a model learns to
read letters, of which there are thirty; of the pieces of words that a larger vocabulary has, most are too rare.
"""

import argparse
from functools import partial
from pathlib import Path

from cosy_jax.checkpoint.reader import stage_path
from cosy_jax.config import (
    FlowConfig,
    LLMConfig,
    ModelConfig,
    SamplingConfig,
    SpeakerEncoderConfig,
    SpeechTokenizerConfig,
    VocoderConfig,
)
from cosy_jax.conversions.random_weights import RANDOM_STAGES, write_random_model
from cosy_jax.conversions.tokenizer_files import write_byte_tokenizer
from cosy_jax.text.check import SYSTEM_PREFIX
from cosy_jax.text.special_tokens import END_OF_PROMPT

from .common import bar, run

CONFIG = ModelConfig(
    llm=LLMConfig(
        text_vocab_size=538,
        hidden_size=192,
        num_layers=6,
        num_heads=4,
        num_kv_heads=2,
        intermediate_size=448,
        text_turn=15,
        speech_turn=15,
    ),
    # Speech tokens a letter, 1 to 4.8 in the data. A small model's draws are worth less, its guidance more. A fifth of
    # all tokens stand among the ten before them: at a rate of 0.1 each of these would be drawn again from all ids.
    sampling=SamplingConfig(min_ratio=1.0, max_ratio=6.0, top_p=0.35, repetition_rate=1.0),
    flow=FlowConfig(lookahead_channels=192, dim=192, depth=7, heads=3, head_dim=64, guidance_rate=1.5),
    vocoder=VocoderConfig(base_channels=128, f0_channels=128),
    speech_tokenizer=SpeechTokenizerConfig(dim=128, heads=2, num_blocks=4),
    speaker_encoder=SpeakerEncoderConfig(init_channels=16, growth=4, bottleneck_channels=8),
)
DTYPE = "bfloat16"  # language model and flow; the precision policy keeps the others in float32


def write_start(out: Path, seed: int) -> dict[str, int]:
    """Writes the folder; the bytes of each stage's file."""
    tokenizer = partial(write_byte_tokenizer, whole=[SYSTEM_PREFIX.removesuffix(END_OF_PROMPT)])
    with bar("random weights", len(RANDOM_STAGES)) as advance:
        for _ in write_random_model(out, CONFIG, seed, DTYPE, tokenizer):
            advance()
    return {stage: stage_path(out, stage).stat().st_size for stage in RANDOM_STAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    sizes = write_start(args.out, args.seed)
    for stage, size in [*sizes.items(), ("all", sum(sizes.values()))]:
        print(f"{stage:<18} {size / 1e6:6.2f} MB")


if __name__ == "__main__":
    run(main)
