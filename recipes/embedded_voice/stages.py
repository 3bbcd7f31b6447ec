"""Where words are lost: the error rate behind each stage, of the sentences that `measure` had read and spoken.

    python -m recipes.embedded_voice.stages --weights FOLDER --measured build/embedded_voice/measured \\
        --data build/embedded_voice/encoded

Each reading of the teacher goes through more and more of the model: its mel, made audio by Griffin and Lim's method and
by the vocoder; its speech tokens as they are heard, in the saved voice, by the flow and each of both; the ids that its
labels mean, by flow and vocoder. Before and behind them stands what `measure` found: of the reading itself, and of what
the model made of the text.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosy_jax.audio.resample import resample
from cosy_jax.compare.extra import import_librosa
from cosy_jax.config import ModelConfig
from cosy_jax.evaluate.sound import load
from cosy_jax.evaluate.words import Errors, verdict
from cosy_jax.nn.compile_cache import default_cache, start_jax
from cosy_jax.prompt.features import mel_spectrogram
from cosy_jax.recognise.choice import POCKETSPHINX, load_recogniser
from cosy_jax.synthesis.synthesizer import Synthesizer

from .common import bar, run
from .flite import speak
from .ideal import ids_of
from .measure import JUDGED
from .speakers import BASE
from .streamed import Line, rates, read_lines

_ITERATIONS = 60


def renderings(synthesizer: Synthesizer, line: Line, folder: Path, ids: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Names of stages, and the audio (S,) that they make of a line's reading at the model's rate; `ids` int (C,) are
    those of labels."""
    reading = folder / line["reference"]
    samples, rate = load(str(reading))
    mel = mel_spectrogram(
        resample(samples, rate, synthesizer.config.sample_rate),
        synthesizer.config.prompt_mel,
        synthesizer.config.sample_rate,
    )
    yield "mel, Griffin-Lim", griffin_lim(mel, synthesizer.config)
    yield "mel, vocoder", synthesizer.vocode(mel)
    spoken = synthesizer.convert_voice(reading, line["voice"])
    yield "tokens, flow, Griffin-Lim", griffin_lim(spoken.mel, synthesizer.config)
    yield "tokens, flow, vocoder", spoken.audio
    labels = speak(line["text"], next(speaker for speaker in BASE if speaker.name == line["voice"])).labels
    mel = synthesizer.mel(ids[labels], synthesizer.find_voice(line["voice"]).prompt)
    yield "labels' ids, flow, vocoder", synthesizer.vocode(mel)


def griffin_lim(mel: np.ndarray, config: ModelConfig) -> np.ndarray:
    """Audio float32 (S,) of a log mel (T, M) without a vocoder (https://doi.org/10.1109/TASSP.1984.1164317)."""
    librosa, form = import_librosa(), config.prompt_mel
    magnitude = librosa.feature.inverse.mel_to_stft(
        np.exp(mel.T), sr=config.sample_rate, n_fft=form.n_fft, power=1.0, fmin=form.fmin, fmax=form.fmax
    )
    return librosa.griffinlim(magnitude, n_iter=_ITERATIONS, hop_length=form.hop, n_fft=form.n_fft, random_state=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, required=True, help="the folder that was measured")
    parser.add_argument("--data", type=Path, required=True, help="the data, encoded by the folder's encoders")
    parser.add_argument("--measured", type=Path, required=True, help="what `measure` wrote")
    args = parser.parse_args()
    whole, readings = rates(args.measured / JUDGED), rates(args.measured / JUDGED, of_readings=True)
    lines = read_lines(args.measured)
    ids = ids_of(args.data)
    start_jax(default_cache())
    synthesizer, recogniser = Synthesizer(args.weights), load_recogniser(POCKETSPHINX)
    found: defaultdict[str, defaultdict[str, list[Errors]]] = defaultdict(lambda: defaultdict(list))
    with bar("stages", len(lines)) as advance:
        for line in lines:
            for stage, audio in renderings(synthesizer, line, args.measured, ids):
                heard = recogniser.transcribe(audio, synthesizer.config.sample_rate)
                for group in (line["voice"], "all"):
                    found[stage][group].append(verdict(line["text"], heard).words)
            advance()
    table = {stage: {name: Errors.total(parts).rate for name, parts in by.items()} for stage, by in found.items()}
    table = {"the reading": readings, **table, "text, all stages": whole}
    print(f"{'WER %':26}" + "".join(f"{name:>8}" for name in whole))
    for stage, by in table.items():
        print(f"{stage:26}" + "".join(f"{100 * by[name]:8.1f}" for name in whole))


if __name__ == "__main__":
    run(main)
