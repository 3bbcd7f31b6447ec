"""How many operations and bytes each stage needs, counted from its sizes.

A product of P positions, from I to O features over K taps in G groups, takes 2 P I O K / G FLOPs, reads I O K / G
weights and moves P (I + O) values, its input and output once. Attention of Q queries to S keys takes 4 Q S H E FLOPs
and moves its queries, keys, values and results; the scores are thought to stay on the chip. Norms, activations,
softmax, sampling and embedding rows are left out. What padding adds is not work: give true lengths.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from cosy_jax.config import FlowConfig, LLMConfig, VocoderConfig


@dataclass(frozen=True)
class Count:
    """FLOPs, weights read and other values read or written (numbers, not bytes)."""

    flops: float = 0.0
    weights: float = 0.0
    values: float = 0.0

    def __add__(self, other: "Count") -> "Count":
        return Count(self.flops + other.flops, self.weights + other.weights, self.values + other.values)

    def __mul__(self, times: float) -> "Count":
        return Count(times * self.flops, times * self.weights, times * self.values)

    def bytes(self, weight_size: float, value_size: float) -> float:
        """Bytes moved, with so many bytes a weight and a value."""
        return weight_size * self.weights + value_size * self.values


def product(positions: int, inputs: int, outputs: int, taps: int = 1, groups: int = 1) -> Count:
    """A linear layer, or a convolution of `taps` taps and `positions` results."""
    weights = inputs * outputs * taps / groups
    return Count(2 * positions * weights, weights, positions * (inputs + outputs))


def attention(rows: int, queries: int, keys: int, heads: int, kv_heads: int, width: int) -> Count:
    """Scores and weighted sums; every query against every key, masked or not."""
    flops = 4 * rows * queries * keys * heads * width
    return Count(flops, 0, 2 * rows * width * (queries * heads + keys * kv_heads))


def llm_prefill(config: LLMConfig, batch: int, positions: int) -> Count:
    """The prompt: all layers at all positions, 2 P W a layer of W weights, and the head at the last one."""
    return _llm_layers(config, batch, positions, positions) + _llm_head(config, batch)


def llm_step(config: LLMConfig, batch: int, context: int) -> Count:
    """One id a row, `context` positions with its own: all weights once, the rows' keys and values once."""
    return _llm_layers(config, batch, 1, context) + _llm_head(config, batch)


def llm_decode(config: LLMConfig, batch: int, prompt: int, new: int) -> Count:
    """`new` steps behind a prompt."""
    return sum((llm_step(config, batch, prompt + step) for step in range(1, new + 1)), Count())


def _llm_layers(config: LLMConfig, batch: int, queries: int, keys: int) -> Count:
    c, positions = config, batch * queries
    query, key = c.num_heads * c.head_dim, c.num_kv_heads * c.head_dim
    layer = (
        product(positions, c.hidden_size, query)
        + product(positions, c.hidden_size, key) * 2
        + product(positions, query, c.hidden_size)
        + product(positions, c.hidden_size, c.intermediate_size) * 2
        + product(positions, c.intermediate_size, c.hidden_size)
        + attention(batch, queries, keys, c.num_heads, c.num_kv_heads, c.head_dim)
    )
    return layer * c.num_layers


def _llm_head(config: LLMConfig, batch: int) -> Count:
    return product(batch, config.hidden_size, config.speech_vocab_size)


def dit_pass(config: FlowConfig, rows: int, frames: int) -> Count:
    """One velocity. A frame takes 2 (4 M D + 2 K D² / G + depth (4 D H E + 2 F D²) + D M) FLOPs, and
    4 depth T H E for its attention to T frames."""
    c, positions, inner = config, rows * frames, config.heads * config.head_dim
    block = (
        product(positions, c.dim, inner) * 3
        + product(positions, inner, c.dim)
        + product(positions, c.dim, c.dim * c.ff_mult)
        + product(positions, c.dim * c.ff_mult, c.dim)
        + attention(rows, frames, frames, c.heads, c.heads, c.head_dim)
    )
    ends = (
        product(positions, 4 * c.mel_bands, c.dim)
        + product(positions, c.dim, c.dim, c.conv_kernel, c.conv_groups) * 2
        + product(positions, c.dim, c.mel_bands)
    )
    return block * c.depth + ends


def flow(config: FlowConfig, batch: int, tokens: int) -> Count:
    """Prompt and new tokens to mel: the condition and the modulations of all steps once, then one pass a step over
    twice the rows (guidance)."""
    c, positions = config, batch * tokens
    condition = (
        product(positions, c.mel_bands, c.lookahead_channels, c.lookahead + 1)
        + product(positions, c.lookahead_channels, c.mel_bands, 3)
        + product(batch, c.speaker_dim, c.mel_bands)
    )
    modulations = (
        product(c.num_steps, c.time_dim, c.dim)
        + product(c.num_steps, c.dim, c.dim)
        + product(c.num_steps, c.dim, 6 * c.dim) * c.depth
        + product(c.num_steps, c.dim, 2 * c.dim)
    )
    return condition + modulations + dit_pass(c, 2 * batch, c.token_mel_ratio * tokens) * c.num_steps


def f0(config: VocoderConfig, rows: int, frames: int) -> Count:
    """The F0 predictor, in float64."""
    c, positions = config, rows * frames
    return (
        product(positions, c.mel_bands, c.f0_channels, c.f0_lookahead + 1)
        + product(positions, c.f0_channels, c.f0_channels, 3) * 4
        + product(positions, c.f0_channels, 1)
    )


def vocoder(config: VocoderConfig, rows: int, frames: int) -> Count:
    """The network from mel and excitation to audio, convolution by convolution, with both Fourier transforms."""
    return sum(_vocoder_layers(config, rows, frames), Count())


def _vocoder_layers(config: VocoderConfig, rows: int, frames: int) -> Iterator[Count]:
    c, bins = config, config.n_fft + 2
    spectra = frames * c.samples_per_frame // c.hop + 1
    yield product(rows * frames * c.samples_per_frame, c.harmonics, 1)
    yield product(rows * spectra, c.n_fft, bins) * 2
    yield product(rows * frames, c.mel_bands, c.base_channels, c.lookahead + 1)
    stride, channels, length = c.samples_per_frame // c.hop, c.base_channels, frames
    for stage, rate in enumerate(c.upsample_rates):
        stride, channels, length = stride // rate, channels // 2, length * rate
        folded = 1 - (1 - c.upsample_kernels[stage]) // rate  # taps, `vocoder/upsampling.py`
        yield product(rows * length, 2 * channels, channels, folded)
        yield product(rows * length, bins, channels, 2 * stride if stride > 1 else 1)
        kernels = zip(c.resblock_kernels, c.resblock_dilations, strict=True)
        source = (c.source_resblock_kernels[stage], c.source_resblock_dilations[stage])
        for kernel, dilations in (*kernels, source):
            yield product(rows * length, channels, channels, kernel) * (2 * len(dilations))
    yield product(rows * spectra, channels, bins, 7)
