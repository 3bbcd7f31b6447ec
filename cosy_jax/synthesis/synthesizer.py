"""The stages joined: a request in, speech out."""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import jax
import numpy as np

from cosy_jax.audio.join import fade
from cosy_jax.audio.read import Waveform
from cosy_jax.audio.speed import change_speed, check_speed
from cosy_jax.checkpoint import reader
from cosy_jax.checkpoint.adapter import read_adapter
from cosy_jax.checkpoint.integrity import load_tokenizer, open_folder
from cosy_jax.checkpoint.parameters import Parameters
from cosy_jax.config import ModelConfig
from cosy_jax.flow.cfm import solve
from cosy_jax.flow.inputs import utterances
from cosy_jax.llm.bistream import BistreamContext
from cosy_jax.llm.context import Context, pad_contexts
from cosy_jax.llm.decode import generate
from cosy_jax.llm.policy import DecodePolicy
from cosy_jax.llm.sampling import RasSampler
from cosy_jax.llm.silence import without_long_silence
from cosy_jax.llm.state import DecodeState
from cosy_jax.nn import buckets
from cosy_jax.nn.devices import ONE_DEVICE, Devices
from cosy_jax.nn.noise import vocoder_noise
from cosy_jax.nn.precision import FLOAT32, Precision
from cosy_jax.prompt.encode import Prompt, encode_prompt, speech_tokens
from cosy_jax.recognise.recogniser import Recogniser
from cosy_jax.synthesis.contexts import arriving_context, whole_contexts
from cosy_jax.synthesis.pieces import request_pieces
from cosy_jax.synthesis.request import Request, StreamOptions, check_voice_choice
from cosy_jax.synthesis.speech import OnPart, OnStage, Speech, Stopwatch, finite, joined
from cosy_jax.synthesis.stage import Stage
from cosy_jax.synthesis.voice import Voice, check_transcript_length, check_voice, heard, load_voice_recording
from cosy_jax.synthesis.voice_conversion import source_pieces
from cosy_jax.synthesis.voices import load_voice, voice_places
from cosy_jax.text.check import speakable
from cosy_jax.vocoder.vocode import vocode

T = TypeVar("T")


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
        voices: str | Path | None = None,
        adapter: str | Path | None = None,
        as_stored: bool = False,
    ) -> None:
        """`llm` is "auto" (RL weights where there are any), "rl" or "base"; `voices` the folder of saved voices, None
        for the user's own, where a name is looked for before the weights'; `adapter` one of low-rank changes;
        `as_stored` keeps parameters by the modules' own names where a platform's programs want another form. CosyError
        where a folder lacks something."""
        self.weights = Path(weights)
        self.config: ModelConfig = open_folder(self.weights)
        self.llm = reader.select_llm(self.weights, llm)
        self.tokenizer = load_tokenizer(self.weights, self.config)
        self.precision, self.devices = precision, devices
        self._voices = Path(voices) if voices else None
        self.adapter = Path(adapter) if adapter else None
        changes = read_adapter(self.adapter, self.config) if self.adapter else None
        self._params = Parameters(self.weights, self.config, self.llm, precision, devices, changes, as_stored)

    @property
    def voices(self) -> tuple[Path, ...]:
        """Where saved voices are looked for, as `voice_places` says."""
        return voice_places(self._voices, self.weights)

    def params(self, stage: str) -> dict:
        """Parameters of a stage ("llm" is the chosen variant), from memory or disk."""
        return self._params[stage]

    def replace(self, stage: str, params: dict) -> None:
        """Speak with other parameters of a stage."""
        self._params.replace(stage, params)

    def release(self, *stages: str) -> None:
        """Forget the parameters of these stages; they are read again when needed."""
        self._params.release(*stages)

    @cached_property
    def encoders(self) -> str:
        """The digest of the encoders, which a voice made with them carries."""
        return reader.encoders_digest(self.weights)

    def policy(self, reference_slips: bool = False) -> DecodePolicy:
        """How this model decodes."""
        sampler = RasSampler(self.config.sampling)
        return DecodePolicy(self.config.llm, sampler, self.precision, reference_slips)

    def voice(self, recording: str | Path | Waveform, transcript: str | Recogniser = "", trim: bool = False) -> Voice:
        """A recording of 0.5 s to 30 s, or with `trim` the best 10 s of one of any length, as a voice to speak in;
        modes other than zero-shot need no transcript. A recogniser in its place finds it out.

        CosyError and `RecordingWarning` as `load_voice_recording`; the latter also for a transcript of another length.
        """
        recording = load_voice_recording(recording, trim)
        if isinstance(transcript, Recogniser):
            transcript = heard(transcript, recording)
        check_transcript_length(transcript, len(recording[0]) / recording[1])
        stages = (self.params("speech_tokenizer"), self.params("speaker_encoder"))
        return Voice(encode_prompt(recording, *stages, self.config), transcript, self.encoders)

    def find_voice(
        self,
        voice: str | Voice | None = None,
        recording: str | Path | Waveform | None = None,
        transcript: str | Recogniser | None = None,
        trim: bool = False,
    ) -> Voice:
        """The voice of a request: a saved one by its name, one at hand, or a recording's. CosyError where there is
        none or more than one, and where these weights cannot speak in it."""
        check_voice_choice(voice, recording, transcript, trim)
        if recording is not None:
            return self.voice(recording, transcript or "", trim)
        assert voice is not None
        found = voice if isinstance(voice, Voice) else load_voice(self.voices, voice)
        check_voice(found, self.config, self.encoders)
        return found

    def resolve(self, request: Request) -> Request:
        """The request with its voice at hand; CosyError as `find_voice`, and for a mode without what it needs."""
        found = self.find_voice(request.voice, request.recording, request.transcript, request.trim)
        return request.in_voice(found)

    def speak(self, request: Request, on_stage: OnStage | None = None, on_part: OnPart | None = None) -> Speech:
        """Speak a request; a long text segment after segment, the joins faded.

        The request is data and so is the result: the same one gives the same speech. `on_stage` is called with each
        stage before it runs, `on_part` before each segment in it; of a long text flow and vocoder run in turn.
        CosyError for a text without anything to speak, or that arrives, a voice that cannot be had, and speech beyond
        300 s a segment.
        """
        return joined(self.speak_segments(request, on_stage, on_part))

    def speak_segments(
        self, request: Request, on_stage: OnStage | None = None, on_part: OnPart | None = None
    ) -> Iterator[Speech]:
        """`speak`, each segment as soon as it is spoken and none of them kept: a text of any length in the memory of a
        short one. What is decoded first, the speech tokens of all of it, is 100 bytes a second."""
        watch = Stopwatch(on_stage, on_part)
        with watch(Stage.PROMPT):
            request = self.resolve(request)
        with watch(Stage.LANGUAGE_MODEL):
            policy = self.policy(request.reference_slips)
            decoded = [self.decode(context, policy) for context in watch.each(self.contexts(request))]
        yield from self._rendered(decoded, request.voice_at_hand, request.speed, watch)

    def convert_voice(
        self,
        source: str | Path | Waveform,
        voice: str | Voice,
        speed: float = 1.0,
        on_stage: OnStage | None = None,
        on_part: OnPart | None = None,
    ) -> Speech:
        """What is said in a recording of any length, in another voice, a saved one's name or one at hand.

        CosyError where the source is unreadable, truncated, below 16 kHz, shorter than 0.05 s, silent or constant.
        """
        return joined(self.convert_segments(source, voice, speed, on_stage, on_part))

    def convert_segments(
        self,
        source: str | Path | Waveform,
        voice: str | Voice,
        speed: float = 1.0,
        on_stage: OnStage | None = None,
        on_part: OnPart | None = None,
    ) -> Iterator[Speech]:
        """`convert_voice`, each segment as soon as it is spoken."""
        check_speed(speed)
        watch, voice = Stopwatch(on_stage, on_part), self.find_voice(voice)
        with watch(Stage.SPEECH_TOKENS):
            wavs, params = source_pieces(source, self.config), self.params("speech_tokenizer")
            tokens = [speech_tokens(wav, params, self.config) for wav in watch.each(wavs)]
        yield from self._rendered([(ids, 0) for ids in tokens], voice, speed, watch)

    def _rendered(
        self, decoded: Sequence[tuple[np.ndarray, int]], voice: Voice, speed: float, watch: Stopwatch
    ) -> Iterator[Speech]:
        """The segments of speech tokens (L,) and the draws that were repeated for them, faded where they join."""
        rate, last = self.config.sample_rate, len(decoded) - 1
        for index, (tokens, fallbacks) in enumerate(decoded):
            with watch(Stage.FLOW):
                watch.part(index, len(decoded))
                mel = change_speed(self.mel(tokens, voice.prompt), speed)
            with watch(Stage.VOCODER):
                watch.part(index, len(decoded))
                audio = fade(self.vocode(mel), rate, index > 0, index < last)
            yield Speech(audio, rate, tokens, mel, fallbacks, watch.taken())

    def stream(self, request: Request, options: StreamOptions | None = None) -> Iterator[np.ndarray]:
        """Speak while it is decoded: yields pieces of audio, float32 (S,) at 24 kHz.

        The text may arrive in pieces itself; what its iterator raises is raised here, after the audio so far. The
        request is checked at the call, before the first piece is asked for; CosyError as for `speak`, and for another
        speed than 1.
        """
        request.check_streamable()
        request = self.resolve(request)
        return request_pieces(self, request, options or StreamOptions())

    def arriving_context(self, request: Request) -> BistreamContext:
        """What stands before the text of a resolved request, if it arrives in pieces."""
        return arriving_context(request, self.tokenizer)

    def arriving_ids(self, text: Iterable[str]) -> Iterator[list[int]]:
        """The ids of each piece of a text that arrives; CosyError, behind those before it, for one that is no text."""
        return (self.tokenizer.encode(piece) for piece in speakable(text))

    def contexts(self, request: Request) -> list[Context]:
        """The text of a resolved request cut into what is spoken at a time, each with its key: seed, seed + 1, ...

        CosyError as for `speak`.
        """
        return whole_contexts(request, self.tokenizer, self.config)

    def decode(self, context: Context, policy: DecodePolicy) -> tuple[np.ndarray, int]:
        """Speech tokens int32 (L,) of a context, silence capped, and how often the repetition rule drew again."""
        state = self.drawn(context, policy)
        (ids,), (length,), (fallbacks,) = jax.device_get((state.tokens, state.lengths, state.fallbacks))
        return without_long_silence(ids[:length], self.config.llm.silent_ids), int(fallbacks)

    def drawn(self, context: Context, policy: DecodePolicy) -> DecodeState:
        """How the loop ends for a context."""
        size, new = context.bucket(), context.new_bucket()
        batch, cache = pad_contexts([context], size, 1), policy.cache(1, size + new)
        return generate(self.params("llm"), cache, batch, context.key[None], policy=policy, bucket=new)

    def mel(self, tokens: np.ndarray, prompt: Prompt) -> np.ndarray:
        """Mel float32 (2 L, 80) of speech tokens int (L,), the prompt's part cut off."""
        return self.mels([(tokens, prompt)])[0]

    def mels(self, items: Sequence[tuple[np.ndarray, Prompt]]) -> list[np.ndarray]:
        """`mel` of several in one batch, padded to the longest one's bucket; CosyError where one is not finite."""
        flow = self.config.flow
        sequences = [(np.concatenate([prompt.speech_tokens, tokens]), prompt) for tokens, prompt in items]
        inputs = utterances(self._padded(sequences), flow, self.devices.rows)
        mels, _, _ = solve(self.params("flow"), inputs, config=flow, precision=self.precision)
        return [
            finite(mel[len(prompt.mel) : flow.token_mel_ratio * len(tokens)], Stage.FLOW)
            for mel, (tokens, prompt) in zip(np.asarray(mels), sequences, strict=False)
        ]

    def vocode(self, mel: np.ndarray) -> np.ndarray:
        """Audio float32 (S,) of a mel (T, 80), S = 480 T."""
        return self.vocode_all([mel])[0]

    def vocode_all(self, mels: Sequence[np.ndarray]) -> list[np.ndarray]:
        """`vocode` of several in one batch, padded to the longest one's bucket; CosyError where one is not finite."""
        vocoder, size = self.config.vocoder, self.mel_bucket(max(map(len, mels)))
        padded = self._padded(mels)
        audio = vocode(
            self.params("vocoder"),
            self.devices.rows(
                jax.device_put(np.stack([np.pad(mel, ((0, size - len(mel)), (0, 0))) for mel in padded]))
            ),
            self.devices.rows(jax.device_put(np.asarray([len(mel) for mel in padded], np.int32))),
            jax.device_put(vocoder_noise(self.config, size * vocoder.samples_per_frame)),
            vocoder,
        )
        lengths = [len(mel) * vocoder.samples_per_frame for mel in mels]
        rows = zip(np.asarray(audio.samples), lengths, strict=False)
        return [finite(row[:length], Stage.VOCODER) for row, length in rows]

    def _padded(self, rows: Sequence[T]) -> list[T]:
        """The rows, the first one repeated where the devices need more of them."""
        return [*rows, *[rows[0]] * (self.devices.padded(len(rows)) - len(rows))]

    def mel_bucket(self, frames: int) -> int:
        """The frames that a mel is padded to for the vocoder."""
        ratio = self.config.flow.token_mel_ratio
        return ratio * buckets.bucket(-(-frames // ratio), buckets.SPEECH_TOKENS, "The speech")
