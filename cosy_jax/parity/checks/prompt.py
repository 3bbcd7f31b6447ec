"""Text tokenizer, prompt features, speech tokenizer and speaker encoder against dumps."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from cosy_jax.audio.read import load_audio
from cosy_jax.audio.resample import resample
from cosy_jax.parity.check import Check, equal, within, within_log
from cosy_jax.parity.dumps import read_cases, read_dump
from cosy_jax.prompt.features import kaldi_fbank, mel_spectrogram, whisper_log_mel
from cosy_jax.prompt.speaker_encoder import embed_speaker
from cosy_jax.prompt.speech_tokenizer import encode_speech
from cosy_jax.synthesis.synthesizer import Synthesizer

_FEATURE_LIMIT = 1e-4
# 50 dB below a frame's loudest band: for amplitudes, and squared for the power of the Kaldi features.
_FLOOR = 10**-2.5


def check_tokenizer(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Ids of every recorded text."""
    dump = read_cases(path)
    ours = [synthesizer.tokenizer.encode(case["text"]) for case in dump["cases"]]
    right = [a == case["ids"] for a, case in zip(ours, dump["cases"], strict=True)]
    ids = Check("text ids", "equal", all(right), note=f"{sum(right)} of {len(right)} texts equal")
    end = np.asarray([synthesizer.tokenizer.end_of_prompt_id])
    return [ids, equal("end-of-prompt id", end, np.asarray([dump["endofprompt_id"]]))]


def check_features(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Both resampled waveforms (where the recording lies beside the dumps) and the three mels."""
    dump = read_dump(path, synthesizer.config)
    wav16, wav24 = dump["wav_16k"][0], dump["wav_24k"][0]
    fbank = kaldi_fbank(wav16)
    mel = mel_spectrogram(wav24, synthesizer.config.prompt_mel)
    # The dump's time mean is removed; ours put back makes its frames comparable with their peaks.
    kaldi = dump["kaldi_fbank_80"] + fbank.mean(axis=0)
    checks = [
        within("whisper log-mel", whisper_log_mel(wav16).T, dump["whisper_log_mel_128"][0], _FEATURE_LIMIT),
        within_log("Kaldi fbank", fbank, kaldi, _FEATURE_LIMIT, _FLOOR**2),
        within_log("24 kHz mel", mel, dump["mel_24k"][0].T, _FEATURE_LIMIT, _FLOOR),
    ]
    for recording in path.parent.parent.glob(f"{path.stem.replace('features', 'prompt')}.*"):
        audio, rate = load_audio(recording)
        for hertz, wav in ((16000, wav16), (24000, wav24)):
            checks.append(within(f"{hertz // 1000} kHz waveform", resample(audio, rate, hertz), wav, _FEATURE_LIMIT))
    return checks


def check_speech_tokenizer(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Speech tokens of one recording and of a padded batch."""
    dump = read_dump(path, synthesizer.config)

    def encode(mel: np.ndarray, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        ids, id_lengths = encode_speech(
            synthesizer.params("speech_tokenizer"),
            synthesizer.config.speech_tokenizer,
            jnp.asarray(mel.transpose(0, 2, 1)),
            jnp.asarray(lengths),
        )
        return np.asarray(ids), np.asarray(id_lengths)

    mel = dump["whisper_log_mel_128"]
    single, _ = encode(mel, np.asarray([mel.shape[2]]))
    checks = [equal("speech tokens", single, dump["tokens"])]
    if "batch_mel" not in dump:
        return checks
    batch, lengths = encode(dump["batch_mel"], dump["batch_mel_len"])
    checks.append(equal("token counts of a batch", lengths, dump["batch_tokens_len"]))
    for row, length in enumerate(dump["batch_tokens_len"]):
        theirs = dump["batch_tokens"][row, :length]
        checks.append(equal(f"speech tokens, row {row} of a batch", batch[row, :length], theirs))
    return checks


def check_speaker(synthesizer: Synthesizer, path: Path) -> list[Check]:
    """Speaker embedding."""
    dump = read_dump(path, synthesizer.config)
    fbank = jnp.asarray(dump["kaldi_fbank_80"])
    lengths = jnp.asarray([fbank.shape[1]])
    ours = embed_speaker(synthesizer.params("speaker_encoder"), synthesizer.config.speaker_encoder, fbank, lengths)
    return [within("speaker embedding", np.asarray(ours), dump["embedding"], 1e-4)]
