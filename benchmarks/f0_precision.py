"""What the precision of F0 and of the phase sum costs, against a run in float64.

    python -m benchmarks.f0_precision --weights tests/data/tiny --dump tests/data/dumps/hift_offline.safetensors

Prints, for each way to take F0 and phase, the largest error of F0 (Hz) and the SNR of the source's sines (dB), for
the recorded mel and for the same mel repeated to a minute.
"""

import argparse

import jax
import jax.numpy as jnp
import numpy as np
from safetensors.numpy import load_file

from cosy_jax.compare.snr import snr_db
from cosy_jax.nn.precision import FLOAT32, FLOAT64, Precision
from cosy_jax.synthesis.synthesizer import Synthesizer
from cosy_jax.vocoder.source import F0Predictor, harmonic_cycles


def excite(synthesizer: Synthesizer, mel: np.ndarray, f0_in: Precision, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """F0 (T,) and sines (T, H). phase: "float64", "float32" or "compensated", a float32 Kahan sum."""
    config = synthesizer.config.vocoder
    params = {"params": synthesizer.params("vocoder")["f0_predictor"]}
    with jax.enable_x64(True):
        x = jnp.asarray(mel, f0_in.compute)[None]
        f0 = F0Predictor(config, f0_in).apply(params, x)
        if phase == "compensated":
            sines = _kahan_sines(np.asarray(f0[0], np.float32), config.harmonics)
        else:
            sines = np.asarray(jnp.sin(2 * jnp.pi * harmonic_cycles(f0.astype(phase), config)[0]))
    return np.asarray(f0[0]), sines


def _kahan_sines(f0: np.ndarray, harmonics: int) -> np.ndarray:
    """Cycles summed in float32 with Kahan's correction, modulo 1 (480 samples a frame at 24 kHz: F0 / 50 cycles)."""
    total = np.zeros(harmonics, np.float32)
    lost = np.zeros(harmonics, np.float32)
    sines = []
    for hertz in f0:
        term = (hertz * np.arange(1, harmonics + 1, dtype=np.float32) / np.float32(50)) % np.float32(1) - lost
        new = total + term
        lost = (new - total) - term
        total = np.where(new >= 1, new - 1, new)
        sines.append(np.sin(np.float32(2 * np.pi) * total))
    return np.stack(sines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--dump", required=True)
    args = parser.parse_args()
    synthesizer = Synthesizer(args.weights)
    recorded = load_file(args.dump)["mel"][0].T
    minute = np.tile(recorded, (-(-3000 // len(recorded)), 1))[:3000]
    for name, mel in (("recorded", recorded), ("a minute", minute)):
        f0, truth = excite(synthesizer, mel, FLOAT64, "float64")
        for f0_in, phase in (
            (FLOAT32, "float32"),
            (FLOAT32, "compensated"),
            (FLOAT32, "float64"),
            (FLOAT64, "float32"),
        ):
            ours, sines = excite(synthesizer, mel, f0_in, phase)
            error = np.abs(ours - f0).max()
            print(f"{name}: F0 {f0_in.name}, phase {phase:11s}: F0 {error:.1e} Hz, sines {snr_db(sines, truth):.1f} dB")


if __name__ == "__main__":
    main()
