"""The vocoder and the fixed noises against their dumps, and the way from tokens to audio."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cosy_jax.config import ModelConfig
from cosy_jax.nn.noise import MAX_FRAMES, flow_noise, initial_phase, vocoder_noise
from cosy_jax.parity.check import Check, judge, snr_at_least, within
from cosy_jax.parity.checks.recorded import is_exact
from cosy_jax.parity.dumps import read_dump, read_flag
from cosy_jax.prompt.encode import Prompt
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.vocode import Vocoded, vocode

_AUDIO_LIMIT = 70.0
_NOISE_LIMIT = 1e-6


def vocode_dump(synthesizer: Synthesizer, path: Path, dump: dict[str, np.ndarray]) -> tuple[np.ndarray, Vocoded]:
    """Our samples (1, S) of a recorded mel, whole or as a first chunk (metadata: finalize), and all that is behind
    them."""
    finalize = read_flag(path, "finalize")
    mel = dump["mel"].transpose(0, 2, 1)
    vocoder = synthesizer.config.vocoder
    noise = vocoder_noise(synthesizer.config, mel.shape[1] * vocoder.samples_per_frame)
    lengths = jnp.asarray([mel.shape[1]])
    audio = vocode(synthesizer.params("vocoder"), jnp.asarray(mel), lengths, jnp.asarray(noise), vocoder, finalize)
    return np.asarray(audio.samples)[:, : int(audio.lengths[0])], audio


def check_vocoder(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """F0, source and audio of a recorded mel."""
    dump = read_dump(path, synthesizer.config)
    samples, audio = vocode_dump(synthesizer, path, dump)
    f0 = np.asarray(audio.f0)[:, : dump["f0_f64"].shape[1]]
    checks = [within("F0 (Hz), to float64", f0, dump["f0_f64"], 1e-3)]  # the reference takes it in float64 too
    if "source" in dump:
        source = np.asarray(audio.source)[:, None, : dump["source"].shape[2]]
        checks.append(judge("source", source, dump["source"], dump.get("source_f64"), snr_at_least, _AUDIO_LIMIT))
    return [*checks, judge("audio", samples, dump["audio"], dump.get("audio_f64"), snr_at_least, _AUDIO_LIMIT)]


def speak_dump(synthesizer: Synthesizer, dump: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Our mel (T, M) and samples (S,) of recorded speech tokens, through the padded path that `synthesize` takes."""
    prompt = Prompt(dump["prompt_token"][0], dump["prompt_feat"][0], dump["embedding"][0])
    mel = synthesizer.mel(dump["speech_token"][0].astype(np.int32), prompt)
    return mel, synthesizer.vocode(mel)


def check_end_to_end(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Speech tokens and prompt to mel and audio."""
    dump = read_dump(path, synthesizer.config)
    (mel, audio), exact = speak_dump(synthesizer, dump), is_exact(synthesizer, path)
    return [
        judge("mel", mel.T[None], dump["mel"], dump.get("mel_f64"), within, 5e-5, exact),
        judge("audio", audio[None], dump["audio"], dump.get("audio_f64"), snr_at_least, 60.0, exact),
    ]


def check_noise(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Flow noise and initial phases at this model's sizes."""
    dump = read_dump(path, synthesizer.config)
    bands = synthesizer.config.flow.mel_bands
    ours, last = flow_noise(MAX_FRAMES, bands).T[None], dump["flow_noise_last_frames"]
    first = dump["flow_noise"]
    return [
        within("flow noise, first frames", ours[..., : first.shape[2]], first, _NOISE_LIMIT),
        within("flow noise, last frames", ours[..., -last.shape[2] :], last, _NOISE_LIMIT),
        within("rand_ini", initial_phase(synthesizer.config)[None], dump["rand_ini"], _NOISE_LIMIT),
    ]


def check_vocoder_noise(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """The source module's uniform noise at this model's sizes."""
    theirs = read_dump(path, synthesizer.config)["uniform_noise"]
    return [within("uniform noise", vocoder_noise(synthesizer.config, theirs.shape[1])[None], theirs, _NOISE_LIMIT)]


def check_released_noise(_: Synthesizer, path: Path) -> list[Check]:
    """All noises at the released sizes, whatever model is loaded."""
    config = ModelConfig()
    dump = read_dump(path, config)
    first, last = dump["flow_noise_first_frames"], dump["flow_noise_last_frames"]
    flow = flow_noise(MAX_FRAMES, config.flow.mel_bands).T[None]
    start, later = dump["uniform_noise_first"], dump["uniform_noise_at_100000"]
    uniform = vocoder_noise(config, 100000 + later.shape[1])[None]
    return [
        within("flow noise, first frames", flow[..., : first.shape[2]], first, _NOISE_LIMIT),
        within("flow noise, last frames", flow[..., -last.shape[2] :], last, _NOISE_LIMIT),
        within("rand_ini", initial_phase(config)[None], dump["rand_ini"], _NOISE_LIMIT),
        within("uniform noise, first samples", uniform[:, : start.shape[1]], start, _NOISE_LIMIT),
        within("uniform noise, sample 100000 on", uniform[:, 100000:], later, _NOISE_LIMIT),
    ]
