"""The stages joined: text and a recorded voice in, speech out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax import buckets, checkpoint
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.cfm import FlowInputs, solve
from cosy_jax.llm.decode import Prompts, generate
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.silence import cap_silence
from cosy_jax.llm.speech_lm import TokenRow, prompt_row
from cosy_jax.modes import Voice, lm_context
from cosy_jax.noise import flow_noise, vocoder_noise
from cosy_jax.precision import FLOAT32, Precision
from cosy_jax.prompt.audio import Audio
from cosy_jax.prompt.prompt import Prompt, encode_prompt
from cosy_jax.stages import expected_shapes
from cosy_jax.text.prompt_text import check_text
from cosy_jax.text.tokenizer import TextTokenizer
from cosy_jax.vocoder.vocode import vocode


@dataclass(frozen=True)
class Options:
    """What a caller may choose for one utterance."""

    mode: str = "zero-shot"  # or "cross-lingual", "instruct"
    instruct: str = ""  # how to speak, for mode instruct
    seed: int = 0
    # The reference masks the wrong id below the minimum length and so can stop early; True does as it does.
    reference_min_length: bool = False


@dataclass(frozen=True)
class Speech:
    """One spoken utterance."""

    audio: np.ndarray  # float32 (S,), in [-0.99, 0.99]
    sample_rate: int  # Hz
    tokens: np.ndarray  # int32 (L,), 25 Hz, silence capped
    mel: np.ndarray  # float32 (2 L, 80), log amplitude
    fallbacks: int  # draws repeated by the repetition rule
    seconds: dict[str, float] = field(default_factory=dict)  # wall time a stage

    @property
    def duration(self) -> float:
        """Seconds of audio."""
        return len(self.audio) / self.sample_rate


class Synthesizer:
    """A converted folder, its stages loaded when first needed.

    The network itself is pure functions (`generate`, `solve`, `vocode`); this object only holds their parameters, so
    one may serve any number of threads and utterances.
    """

    def __init__(self, weights: str | Path, llm: str = "auto", precision: Precision = FLOAT32) -> None:
        """`llm` is "auto" (RL weights where there are any), "rl" or "base". CosyError where the folder lacks
        something."""
        self.weights = Path(weights)
        self.config: ModelConfig = checkpoint.load_config(self.weights)
        self.llm = checkpoint.select_llm(self.weights, llm)
        self.tokenizer = TextTokenizer.load(self.weights / "tokenizer")
        self.precision = precision
        self._params: dict[str, dict] = {}

    def params(self, stage: str) -> dict:
        """Parameters of a stage ("llm" is the chosen variant), from memory or disk."""
        if stage not in self._params:
            name = self.llm if stage == "llm" else stage
            # A changed bit in the prompt's tokens or in F0 is heard; only the two large networks may be rounded.
            precision = self.precision if stage in ("llm", "flow") else FLOAT32
            expected = expected_shapes(name, self.config)
            self._params[stage] = checkpoint.load_params(self.weights, name, precision, expected=expected)
        return self._params[stage]

    def release(self, *stages: str) -> None:
        """Forget the parameters of these stages; they are read again when needed."""
        for stage in stages:
            self._params.pop(stage, None)

    def voice(self, recording: str | Path | Audio, transcript: str = "") -> Voice:
        """A recording of at most 30 s as a voice to speak in; modes other than zero-shot need no transcript."""
        stages = (self.params("speech_tokenizer"), self.params("speaker_encoder"))
        return Voice(encode_prompt(recording, *stages, self.config, FLOAT32), transcript)

    def speak(
        self,
        text: str,
        voice: Voice,
        options: Options | None = None,
        on_stage: Callable[[str], None] | None = None,
    ) -> Speech:
        """Speak `text` in a voice.

        Every argument is data and so is the result: the same ones give the same speech. `on_stage` is called with the
        name of each stage before it runs.
        """
        options = options or Options()
        check_text(text)
        context, speech_tokens = lm_context(options.mode, voice, options.instruct)
        watch = _Stopwatch(on_stage)
        with watch("language model"):
            ids = self.tokenizer.encode(text)
            row = prompt_row(self.tokenizer.encode(context) + ids, speech_tokens, self.config.llm)
            tokens, fallbacks = self.decode(row, len(ids), options)
        with watch("flow"):
            mel = self.mel(tokens, voice.prompt)
        with watch("vocoder"):
            audio = self.vocode(mel)
        return Speech(audio, self.config.sample_rate, tokens, mel, fallbacks, watch.seconds)

    def decode(self, row: TokenRow, text_length: int, options: Options) -> tuple[np.ndarray, int]:
        """Speech tokens int32 (L,), silence capped, for a prompt row and the number of text ids to speak; and how
        often the repetition rule drew again."""
        sampling = self.config.sampling
        length = len(row.ids)
        max_new = int(text_length * sampling.max_ratio)
        size = buckets.bucket(length, buckets.LM_PROMPT, "The prompt with the text")
        new = buckets.bucket(max_new, buckets.LM_NEW, "The speech of this text")
        pad = (0, size - length)
        prompts = Prompts(
            ids=jnp.asarray(np.pad(row.ids, pad))[None],
            is_text=jnp.asarray(np.pad(row.is_text, pad))[None],
            lengths=jnp.asarray([length]),
            min_new=jnp.asarray([int(text_length * sampling.min_ratio)]),
            max_new=jnp.asarray([max_new]),
        )
        state = generate(
            self.params("llm"),
            init_cache(self.config.llm, 1, size + new, self.precision),
            prompts,
            jax.random.key(options.seed)[None],
            config=self.config.llm,
            sampling=sampling,
            precision=self.precision,
            bucket=new,
            reference_slip=options.reference_min_length,
        )
        tokens = cap_silence(np.asarray(state.tokens[0])[: int(state.lengths[0])].tolist())
        if not tokens:
            raise CosyError("The model ended before it spoke a single token: try another seed or a longer text.")
        return np.asarray(tokens, np.int32), int(state.fallbacks[0])

    def mel(self, tokens: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Mel float32 (2 L, 80) of speech tokens int (L,), the prompt's part cut off."""
        flow = self.config.flow
        all_tokens = np.concatenate([prompt.speech_tokens, tokens])
        length = len(all_tokens)
        size = buckets.bucket(length, buckets.SPEECH_TOKENS, "The prompt with the speech")
        frames = flow.token_mel_ratio * size
        prompt_frames = len(prompt.mel)
        mel, _, _ = solve(
            self.params("flow"),
            FlowInputs(
                tokens=jnp.asarray(np.pad(all_tokens, (0, size - length)))[None],
                lengths=jnp.asarray([length]),
                prompt_mel=jnp.asarray(np.pad(prompt.mel, ((0, frames - prompt_frames), (0, 0))))[None],
                prompt_frames=jnp.asarray([prompt_frames]),
                speaker=jnp.asarray(prompt.speaker_embedding)[None],
                noise=jnp.asarray(flow_noise(frames)),
            ),
            config=flow,
            precision=self.precision,
        )
        return np.asarray(mel[0])[prompt_frames : flow.token_mel_ratio * length]

    def vocode(self, mel: np.ndarray) -> np.ndarray:
        """Audio float32 (S,) of a mel (T, 80), S = 480 T."""
        ratio, length = self.config.flow.token_mel_ratio, len(mel)
        frames = ratio * buckets.bucket(-(-length // ratio), buckets.SPEECH_TOKENS, "The speech")
        vocoder = self.config.vocoder
        audio = vocode(
            self.params("hift"),
            jnp.asarray(np.pad(mel, ((0, frames - length), (0, 0))))[None],
            jnp.asarray([length]),
            jnp.asarray(vocoder_noise(self.config, frames * vocoder.samples_per_frame)),
            vocoder,
        )
        return np.asarray(audio.samples[0])[: int(audio.lengths[0])]


class _Stopwatch:
    """Names each stage as it starts and keeps its wall time."""

    def __init__(self, on_stage: Callable[[str], None] | None) -> None:
        self.on_stage = on_stage
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        if self.on_stage:
            self.on_stage(stage)
        start = time.perf_counter()
        yield
        self.seconds[stage] = time.perf_counter() - start
