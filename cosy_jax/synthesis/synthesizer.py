"""The stages joined: text and a recorded voice in, speech out."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.audio.join import join_audio
from cosy_jax.audio.read import Audio
from cosy_jax.audio.speed import change_speed, check_speed
from cosy_jax.checkpoint import reader as checkpoint
from cosy_jax.checkpoint.stages import expected_shapes
from cosy_jax.config import ModelConfig
from cosy_jax.errors import CosyError
from cosy_jax.flow.cfm import solve
from cosy_jax.flow.inputs import utterances
from cosy_jax.llm.bistream import BistreamPrompt, bistream_tokens
from cosy_jax.llm.context import Request, pad_prompts
from cosy_jax.llm.decode import generate
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.silence import cap_silence
from cosy_jax.llm.speech_lm import prompt_row
from cosy_jax.llm.stream import stream_tokens
from cosy_jax.nn import buckets
from cosy_jax.nn.devices import ONE_DEVICE, Devices
from cosy_jax.nn.noise import vocoder_noise
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.prompt.encode import Prompt, encode_prompt, speech_tokens
from cosy_jax.synthesis.modes import Voice, lm_context
from cosy_jax.synthesis.streaming import cached_solver, exact_solver, hops, stream_audio
from cosy_jax.synthesis.voice_conversion import source_pieces
from cosy_jax.text.check import check_text
from cosy_jax.text.normalise import DEFAULT, FrontendOptions
from cosy_jax.text.special_tokens import END_OF_PROMPT
from cosy_jax.text.split import prepare
from cosy_jax.text.tokenizer import TextTokenizer
from cosy_jax.vocoder.vocode import vocode

T = TypeVar("T")


@dataclass(frozen=True)
class Options:
    """What a caller may choose for one utterance."""

    mode: str = "zero-shot"  # or "cross-lingual", "instruct"
    instruct: str = ""  # how to speak, for mode instruct
    seed: int = 0
    speed: float = 1.0  # 0.5 to 2; the pitch stays
    # The reference masks the wrong id below the minimum length and so can stop early; True does as it does.
    reference_min_length: bool = False
    frontend: FrontendOptions = DEFAULT  # how the text is normalised and split
    solver: str = "cached"  # of streams; "exact" solves every prefix anew, as the reference does
    left_chunks: int | None = None  # chunks of 1 s that a cached stream looks back on; None: all

    def __post_init__(self) -> None:
        check_speed(self.speed)
        if self.solver not in ("cached", "exact"):
            raise CosyError(f"Unknown solver '{self.solver}': choose cached or exact.")
        if self.left_chunks is not None and self.left_chunks < 1:
            raise CosyError(f"A stream cannot look back {self.left_chunks} chunks: give at least 1, or None for all.")


@dataclass(frozen=True)
class Speech:
    """One spoken utterance."""

    audio: np.ndarray  # float32 (S,), in [-0.99, 0.99]
    sample_rate: int  # Hz
    tokens: np.ndarray  # int32 (L,), 25 Hz, silence capped
    mel: np.ndarray  # float32 (T, 80), log amplitude, T = 2 L / speed
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

    def __init__(
        self,
        weights: str | Path,
        llm: str = "auto",
        precision: Precision = FLOAT32,
        devices: Devices = ONE_DEVICE,
    ) -> None:
        """`llm` is "auto" (RL weights where there are any), "rl" or "base". CosyError where the folder lacks
        something."""
        self.weights = Path(weights)
        self.config: ModelConfig = checkpoint.load_config(self.weights)
        self.llm = checkpoint.select_llm(self.weights, llm)
        self.tokenizer = TextTokenizer.load(self.weights / "tokenizer")
        self.precision = precision
        self.devices = devices
        self._params: dict[str, dict] = {}

    def params(self, stage: str) -> dict:
        """Parameters of a stage ("llm" is the chosen variant), from memory or disk."""
        if stage not in self._params:
            name = self.llm if stage == "llm" else stage
            # A changed bit in the prompt's tokens or in F0 is heard; only the two large networks may be rounded.
            precision = self.precision if stage in ("llm", "flow") else FLOAT32
            expected = expected_shapes(name, self.config)
            params = checkpoint.load_params(self.weights, name, precision, expected=expected)
            self._params[stage] = self.devices.params(params)
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
        """Speak `text` in a voice; a long text segment after segment, the joins faded.

        Every argument is data and so is the result: the same ones give the same speech. `on_stage` is called with the
        name of each stage before it runs. CosyError for a text without anything to speak, a mode without what it
        needs, and speech beyond 300 s a segment.
        """
        options = options or Options()
        watch = _Stopwatch(on_stage)
        with watch("language model"):
            decoded = [self.decode(request, options) for request in self.requests(text, voice, options)]
        with watch("flow"):
            mels = [change_speed(self.mel(tokens, voice.prompt), options.speed) for tokens, _ in decoded]
        with watch("vocoder"):
            audio = join_audio([self.vocode(mel) for mel in mels], self.config.sample_rate)
        tokens, mel = np.concatenate([tokens for tokens, _ in decoded]), np.concatenate(mels)
        fallbacks = sum(count for _, count in decoded)
        return Speech(audio, self.config.sample_rate, tokens, mel, fallbacks, watch.seconds)

    def stream(self, text: str | Iterable[str], voice: Voice, options: Options | None = None) -> Iterator[np.ndarray]:
        """Speak while it is decoded: yields pieces of audio, float32 (S,) at 24 kHz.

        `text` may arrive in pieces itself; it is then neither normalised nor split. What its iterator raises is
        raised here, after the audio so far. Arguments are checked at the call, before the first piece is asked for.
        """
        options = options or Options()
        if options.speed != 1:
            raise CosyError("A stream cannot change the speed: leave speed at 1, or do not stream.")
        if not isinstance(text, str):
            return self._pieces(self._decode_arriving(text, voice, options), voice, options)
        return self._stream_segments(self.requests(text, voice, options), voice, options)

    def _stream_segments(self, requests: list[Request], voice: Voice, options: Options) -> Iterator[np.ndarray]:
        for index, request in enumerate(requests):
            blocks = stream_tokens(
                self.params("llm"),
                request,
                config=self.config.llm,
                sampling=self.config.sampling,
                precision=self.precision,
                reference_slip=options.reference_min_length,
                first_block=next(hops(len(voice.prompt.speech_tokens))) + self.config.flow.lookahead,
            )
            yield from self._pieces(blocks, voice, options, index > 0, index < len(requests) - 1)

    def _pieces(
        self, blocks: Iterable[list[int]], voice: Voice, options: Options, fade_in: bool = False, fade_out: bool = False
    ) -> Iterator[np.ndarray]:
        flow = (self.params("flow"), voice.prompt, self.config.flow, self.precision)
        solver = exact_solver(*flow) if options.solver == "exact" else cached_solver(*flow, options.left_chunks)
        return stream_audio(blocks, voice.prompt, solver, self.params("hift"), self.config, fade_in, fade_out)

    def _decode_arriving(self, text: Iterable[str], voice: Voice, options: Options) -> Iterator[list[int]]:
        context, speech_ids = lm_context(options.mode, voice, options.instruct)
        prompt = BistreamPrompt(self.tokenizer.encode(context), speech_ids, self.tokenizer.end_of_prompt_id)
        return bistream_tokens(
            self.params("llm"),
            (self.tokenizer.encode(piece) for piece in text),
            prompt,
            jax.random.key(options.seed),
            config=self.config.llm,
            sampling=self.config.sampling,
            precision=self.precision,
        )

    def requests(self, text: str, voice: Voice, options: Options) -> list[Request]:
        """The text cut into what is spoken at a time, each with its prompt and its key: seed, seed + 1, ...

        CosyError as for `speak`.
        """
        check_text(text)
        context, speech_ids = lm_context(options.mode, voice, options.instruct, text)
        context_ids, sampling = self.tokenizer.encode(context), self.config.sampling
        requests: list[Request] = []
        for index, part in enumerate(prepare(text, self.tokenizer, options.frontend)):
            row = prompt_row(context_ids + self.tokenizer.encode(part), speech_ids, self.config.llm)
            # A prefix that the text brings is not spoken. The reference counts it too.
            length = len(self.tokenizer.encode(part.rpartition(END_OF_PROMPT)[2]))
            bounds = (int(length * sampling.min_ratio), int(length * sampling.max_ratio))
            requests.append(Request(row, jax.random.key(options.seed + index), *bounds))
        if not requests:
            raise CosyError("Nothing of the text is left to speak once it is normalised: add at least one word.")
        return requests

    def convert_voice(
        self,
        source: str | Path | Audio,
        voice: Voice,
        options: Options | None = None,
        on_stage: Callable[[str], None] | None = None,
    ) -> Speech:
        """What is said in a recording of any length, in another voice; of the options only `speed` has a meaning here.

        CosyError where the source is unreadable, below 16 kHz, shorter than 0.05 s or silent.
        """
        options = options or Options()
        watch = _Stopwatch(on_stage)
        with watch("speech tokens"):
            wavs, params = source_pieces(source), self.params("speech_tokenizer")
            pieces = [speech_tokens(wav, params, self.config, FLOAT32) for wav in wavs]
        with watch("flow"):
            mels = [change_speed(self.mel(tokens, voice.prompt), options.speed) for tokens in pieces]
        with watch("vocoder"):
            audio = join_audio([self.vocode(mel) for mel in mels], self.config.sample_rate)
        tokens, mel = np.concatenate(pieces), np.concatenate(mels)
        return Speech(audio, self.config.sample_rate, tokens, mel, 0, watch.seconds)

    def decode(self, request: Request, options: Options) -> tuple[np.ndarray, int]:
        """Speech tokens int32 (L,) of a request, silence capped, and how often the repetition rule drew again."""
        size, new = request.prompt_bucket(), request.new_bucket()
        state = generate(
            self.params("llm"),
            init_cache(self.config.llm, 1, size + new, self.precision),
            pad_prompts([request], size, 1),
            request.key[None],
            config=self.config.llm,
            sampling=self.config.sampling,
            precision=self.precision,
            bucket=new,
            reference_slip=options.reference_min_length,
        )
        return without_long_silence(np.asarray(state.tokens[0])[: int(state.lengths[0])]), int(state.fallbacks[0])

    def mel(self, tokens: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Mel float32 (2 L, 80) of speech tokens int (L,), the prompt's part cut off."""
        return self.mels([(tokens, prompt)])[0]

    def mels(self, items: Sequence[tuple[np.ndarray, Prompt]]) -> list[np.ndarray]:
        """`mel` of several in one batch, padded to the longest one's bucket."""
        flow = self.config.flow
        sequences = [(np.concatenate([prompt.speech_tokens, tokens]), prompt) for tokens, prompt in items]
        inputs = utterances(self._padded(sequences), flow, self.devices.rows)
        mels, _, _ = solve(self.params("flow"), inputs, config=flow, precision=self.precision)
        return [
            mel[len(prompt.mel) : flow.token_mel_ratio * len(tokens)]
            for mel, (tokens, prompt) in zip(np.asarray(mels), sequences, strict=False)
        ]

    def vocode(self, mel: np.ndarray) -> np.ndarray:
        """Audio float32 (S,) of a mel (T, 80), S = 480 T."""
        return self.vocode_all([mel])[0]

    def vocode_all(self, mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`vocode` of several in one batch, padded to the longest one's bucket."""
        vocoder, size = self.config.vocoder, self.mel_bucket(max(map(len, mels)))
        padded = self._padded(mels)
        audio = vocode(
            self.params("hift"),
            self.devices.rows(jnp.asarray(np.stack([np.pad(mel, ((0, size - len(mel)), (0, 0))) for mel in padded]))),
            self.devices.rows(jnp.asarray([len(mel) for mel in padded])),
            jnp.asarray(vocoder_noise(self.config, size * vocoder.samples_per_frame)),
            vocoder,
        )
        lengths = [len(mel) * vocoder.samples_per_frame for mel in mels]
        return [row[:length] for row, length in zip(np.asarray(audio.samples), lengths, strict=False)]

    def _padded(self, rows: Sequence[T]) -> list[T]:
        """The rows, the first one repeated where the devices need more of them."""
        return [*rows, *[rows[0]] * (self.devices.padded(len(rows)) - len(rows))]

    def mel_bucket(self, frames: int) -> int:
        """The frames that a mel is padded to for the vocoder."""
        ratio = self.config.flow.token_mel_ratio
        return ratio * buckets.bucket(-(-frames // ratio), buckets.SPEECH_TOKENS, "The speech")


def without_long_silence(ids: np.ndarray) -> np.ndarray:
    """Speech tokens int32 (L,) of the ids that were drawn: silence capped; CosyError where nothing is left."""
    tokens = cap_silence(ids.tolist())
    if not tokens:
        raise CosyError("The model ended before it spoke a single token: try another seed or a longer text.")
    return np.asarray(tokens, np.int32)


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
