"""The bounds of every setting of a model, and how settings must fit each other: data for `validate`."""

from collections.abc import Callable

from cosy_jax.config import ModelConfig

_WIDTH = (1, 2**15)
_HEADS = (1, 1024)
_LAYERS = (1, 128)  # the module that is built first is traced layer by layer
_VOCABULARY = (1, 2**20)
_BANDS = (1, 1024)
_TAPS = (1, 1023)
_EPSILON = (1e-12, 1.0)
_THETA = (1.0, 1e12)
_SHARE = (0.0, 1.0)

# The least and the most of each number; of lists, of each number in them.
BOUNDS: dict[str, tuple[float, float]] = {
    "sample_rate": (8000, 192000),
    "token_rate": (25, 25),  # the speech tokenizer takes four frames of 10 ms together
    "llm.text_vocab_size": _VOCABULARY,
    "llm.hidden_size": _WIDTH,
    "llm.num_layers": _LAYERS,
    "llm.num_heads": _HEADS,
    "llm.num_kv_heads": _HEADS,
    "llm.intermediate_size": (1, 2**18),
    "llm.rope_theta": _THETA,
    "llm.rms_norm_eps": _EPSILON,
    "llm.speech_token_size": _VOCABULARY,
    "llm.speech_vocab_size": _VOCABULARY,
    "llm.text_turn": (1, 100),
    "llm.speech_turn": (1, 100),
    "llm.silent_ids": (0, 2**20),
    "sampling.top_p": (1e-6, 1.0),
    "sampling.top_k": _VOCABULARY,
    "sampling.window": (1, 1000),
    "sampling.repetition_rate": _SHARE,
    "sampling.min_ratio": (0.0, 1000.0),
    "sampling.max_ratio": (1.0, 1000.0),
    "flow.token_vocab_size": _VOCABULARY,
    "flow.mel_bands": _BANDS,
    "flow.speaker_dim": _WIDTH,
    "flow.token_mel_ratio": (1, 16),
    "flow.lookahead": (1, 64),
    "flow.lookahead_channels": _WIDTH,
    "flow.dim": _WIDTH,
    "flow.depth": _LAYERS,
    "flow.heads": _HEADS,
    "flow.head_dim": _HEADS,
    "flow.ff_mult": (1, 64),
    "flow.conv_kernel": _TAPS,
    "flow.conv_groups": _WIDTH,
    "flow.time_dim": (4, 2**15),
    "flow.chunk_frames": (1, 500),
    "flow.guidance_rate": (0.0, 100.0),
    "flow.num_steps": (1, 1000),
    "vocoder.mel_bands": _BANDS,
    "vocoder.base_channels": _WIDTH,
    "vocoder.harmonics": (1, 64),
    "vocoder.sample_rate": (8000, 192000),
    "vocoder.sine_amplitude": _SHARE,
    "vocoder.noise_std": _SHARE,
    "vocoder.voiced_threshold": (0.0, 1000.0),
    "vocoder.upsample_rates": (1, 64),
    "vocoder.upsample_kernels": _TAPS,
    "vocoder.n_fft": (4, 4096),
    "vocoder.hop": (1, 4096),
    "vocoder.resblock_kernels": _TAPS,
    "vocoder.resblock_dilations": _TAPS,
    "vocoder.source_resblock_kernels": _TAPS,
    "vocoder.source_resblock_dilations": _TAPS,
    "vocoder.leaky_slope": _SHARE,
    "vocoder.audio_limit": (1e-3, 1.0),
    "vocoder.lookahead": (1, 64),
    "vocoder.f0_channels": _WIDTH,
    "vocoder.f0_lookahead": (1, 64),
    "speech_tokenizer.mel_bands": _BANDS,
    "speech_tokenizer.dim": _WIDTH,
    "speech_tokenizer.heads": _HEADS,
    "speech_tokenizer.num_blocks": _LAYERS,
    "speech_tokenizer.memory_kernel": _TAPS,
    "speech_tokenizer.rope_theta": _THETA,
    "speech_tokenizer.norm_eps": _EPSILON,
    "speech_tokenizer.levels": (3, 3),  # values between -1 and 1 are rounded
    "speech_tokenizer.code_dim": (1, 12),
    "speaker_encoder.feature_bands": (8, 1024),
    "speaker_encoder.head_channels": _WIDTH,
    "speaker_encoder.init_channels": _WIDTH,
    "speaker_encoder.growth": _WIDTH,
    "speaker_encoder.bottleneck_channels": (2, 2**15),
    "speaker_encoder.block_layers": _LAYERS,
    "speaker_encoder.block_kernels": _TAPS,
    "speaker_encoder.block_dilations": _TAPS,
    "speaker_encoder.segment_frames": (1, 10000),
    "speaker_encoder.embedding_dim": _WIDTH,
    "speaker_encoder.norm_eps": _EPSILON,
    "prompt_mel.n_fft": (16, 2**16),
    "prompt_mel.hop": (1, 2**16),
    "prompt_mel.mel_bands": _BANDS,
    "prompt_mel.fmin": (0.0, 96000.0),
    "prompt_mel.fmax": (1.0, 96000.0),
}
# The most numbers in a list; in any other 16.
LONGEST_LISTS = {"llm.silent_ids": 4096}
# What must hold between settings: the one to look at first, and what is wrong with it.
RELATIONS: tuple[tuple[str, str, Callable[[ModelConfig], bool]], ...] = (
    (
        "llm.num_heads",
        "does not divide llm.hidden_size into heads of even width",
        lambda c: c.llm.hidden_size % (2 * c.llm.num_heads) == 0,
    ),
    ("llm.num_kv_heads", "does not divide llm.num_heads", lambda c: c.llm.num_heads % c.llm.num_kv_heads == 0),
    (
        "llm.speech_vocab_size",
        "leaves no room for the control ids behind llm.speech_token_size",
        lambda c: c.llm.fill_id < c.llm.speech_vocab_size,
    ),
    ("sampling.top_k", "is more than llm.speech_vocab_size", lambda c: c.sampling.top_k <= c.llm.speech_vocab_size),
    ("sampling.min_ratio", "is more than sampling.max_ratio", lambda c: c.sampling.min_ratio <= c.sampling.max_ratio),
    (
        "flow.token_vocab_size",
        "is less than llm.speech_token_size",
        lambda c: c.flow.token_vocab_size >= c.llm.speech_token_size,
    ),
    ("flow.conv_groups", "does not divide flow.dim", lambda c: c.flow.dim % c.flow.conv_groups == 0),
    ("flow.head_dim", "is odd", lambda c: c.flow.head_dim % 2 == 0),
    ("flow.time_dim", "is odd", lambda c: c.flow.time_dim % 2 == 0),
    (
        "flow.chunk_frames",
        "is no multiple of flow.token_mel_ratio",
        lambda c: c.flow.chunk_frames % c.flow.token_mel_ratio == 0,
    ),
    (
        "flow.speaker_dim",
        "is not speaker_encoder.embedding_dim",
        lambda c: c.flow.speaker_dim == c.speaker_encoder.embedding_dim,
    ),
    ("vocoder.mel_bands", "is not flow.mel_bands", lambda c: c.vocoder.mel_bands == c.flow.mel_bands),
    ("vocoder.sample_rate", "is not sample_rate", lambda c: c.vocoder.sample_rate == c.sample_rate),
    (
        "vocoder.upsample_rates",
        "makes frames of another length than token_rate and flow.token_mel_ratio do",
        lambda c: c.sample_rate == c.token_rate * c.flow.token_mel_ratio * c.vocoder.samples_per_frame,
    ),
    (
        "vocoder.upsample_kernels",
        "is not as long as vocoder.upsample_rates",
        lambda c: len(c.vocoder.upsample_kernels) == len(c.vocoder.upsample_rates),
    ),
    (
        "vocoder.base_channels",
        "cannot be halved for each of vocoder.upsample_rates",
        lambda c: c.vocoder.base_channels % 2 ** len(c.vocoder.upsample_rates) == 0,
    ),
    ("vocoder.n_fft", "is odd", lambda c: c.vocoder.n_fft % 2 == 0),
    ("vocoder.hop", "does not divide vocoder.n_fft", lambda c: c.vocoder.n_fft % c.vocoder.hop == 0),
    (
        "vocoder.resblock_dilations",
        "is not as long as vocoder.resblock_kernels",
        lambda c: len(c.vocoder.resblock_dilations) == len(c.vocoder.resblock_kernels),
    ),
    (
        "vocoder.source_resblock_kernels",
        "is not as long as vocoder.upsample_rates",
        lambda c: len(c.vocoder.source_resblock_kernels) == len(c.vocoder.upsample_rates),
    ),
    (
        "vocoder.source_resblock_dilations",
        "is not as long as vocoder.upsample_rates",
        lambda c: len(c.vocoder.source_resblock_dilations) == len(c.vocoder.upsample_rates),
    ),
    (
        "speech_tokenizer.heads",
        "does not divide speech_tokenizer.dim into heads of even width",
        lambda c: c.speech_tokenizer.dim % (2 * c.speech_tokenizer.heads) == 0,
    ),
    (
        "speech_tokenizer.code_dim",
        "does not make llm.speech_token_size codes",
        lambda c: c.speech_tokenizer.levels**c.speech_tokenizer.code_dim == c.llm.speech_token_size,
    ),
    ("speaker_encoder.feature_bands", "is no multiple of 8", lambda c: c.speaker_encoder.feature_bands % 8 == 0),
    (
        "speaker_encoder.block_kernels",
        "is not as long as speaker_encoder.block_layers",
        lambda c: len(c.speaker_encoder.block_kernels) == len(c.speaker_encoder.block_layers),
    ),
    (
        "speaker_encoder.block_kernels",
        "holds an even number",
        lambda c: all(kernel % 2 for kernel in c.speaker_encoder.block_kernels),
    ),
    (
        "speaker_encoder.block_dilations",
        "is not as long as speaker_encoder.block_layers",
        lambda c: len(c.speaker_encoder.block_dilations) == len(c.speaker_encoder.block_layers),
    ),
    ("prompt_mel.mel_bands", "is not flow.mel_bands", lambda c: c.prompt_mel.mel_bands == c.flow.mel_bands),
    ("prompt_mel.hop", "is not a frame of the vocoder", lambda c: c.prompt_mel.hop == c.vocoder.samples_per_frame),
    ("prompt_mel.n_fft", "is less than prompt_mel.hop", lambda c: c.prompt_mel.n_fft >= c.prompt_mel.hop),
    (
        "prompt_mel.fmax",
        "is not above prompt_mel.fmin and at most half of sample_rate",
        lambda c: c.prompt_mel.fmin < (c.prompt_mel.fmax or c.sample_rate / 2) <= c.sample_rate / 2,
    ),
)
