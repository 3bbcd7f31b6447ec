"""What a lower precision costs: each policy against float32 on the same inputs, stage by stage.

    python -m benchmarks.precision --weights weights/random [--dtype bfloat16 int8] [--rows 8]

Language model: float32 speaks `rows` utterances, and every policy scores those ids (teacher forcing); an id agrees
where the same noise draws the same one. Flow: the mel of the same ids. Audio: the vocoder, float32 always, on that mel.
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.options import add_cache_option
from benchmarks.table import print_table
from benchmarks.workload import PREFILLED, TEXT_IDS, standard_prompt
from cosy_jax.compare.snr import snr_db
from cosy_jax.config import SamplingConfig
from cosy_jax.llm.context import Context
from cosy_jax.llm.continuous import Batching, ContinuousDecoder, Job
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.sampling import draw_noise, ras_sample
from cosy_jax.llm.speech_lm import SpeechLM, context_row
from cosy_jax.nn.compile_cache import start_jax
from cosy_jax.nn.precision import FLOAT32, get_precision
from cosy_jax.synthesis.synthesizer import Synthesizer

NEW = 125


@dataclass(frozen=True)
class Run:
    """What one policy computes: logits float32 (rows * NEW, V), mel (T, 80) and audio (S,) of the first row."""

    logits: np.ndarray
    mel: np.ndarray
    audio: np.ndarray


def speak(synthesizer: Synthesizer, rows: int) -> np.ndarray:
    """Ids (rows, NEW) of the standard prompt under as many seeds."""
    decoder = ContinuousDecoder(synthesizer.params("llm"), synthesizer.policy(), Batching(rows))
    row = context_row(list(range(TEXT_IDS)), standard_prompt().speech_tokens, synthesizer.config.llm)
    jobs = [Job(Context(row, jax.random.key(seed), NEW, NEW), seed) for seed in range(rows)]
    results = {result.tag: result.ids for result in decoder.run(jobs)}
    return np.stack([results[seed] for seed in range(rows)])


def force(synthesizer: Synthesizer, ids: np.ndarray) -> np.ndarray:
    """Logits (rows * NEW, V) before each of ids (rows, NEW)."""
    config, precision = synthesizer.config.llm, synthesizer.precision

    @jax.jit
    def score(params: dict, ids: jax.Array, is_text: jax.Array) -> jax.Array:
        cache = init_cache(config, 1, ids.shape[1], precision)
        hidden, _ = SpeechLM(config, precision).apply({"params": params}, ids, is_text, cache, method="hidden")
        last = hidden[:, PREFILLED - 1 : -1]
        return SpeechLM(config, precision).apply({"params": params}, last, method=lambda m, x: m.speech_head(x))[0]

    context = context_row(list(range(TEXT_IDS)), standard_prompt().speech_tokens, config)
    is_text = jnp.asarray(np.pad(context.is_text, (0, NEW)))[None]
    rows = [jnp.asarray(np.concatenate([context.ids, row]))[None] for row in ids]
    return np.concatenate([np.asarray(score(synthesizer.params("llm"), row, is_text)) for row in rows])


def run(weights: str, dtype: str, ids: np.ndarray | None, rows: int) -> tuple[Run, np.ndarray]:
    """The stages under one policy, and the ids that they ran on: those given, or else its own."""
    synthesizer = Synthesizer(weights, precision=get_precision(dtype))
    ids = speak(synthesizer, rows) if ids is None else ids
    logits = force(synthesizer, ids)
    synthesizer.release("llm")
    mel = synthesizer.mel(ids[0], standard_prompt())
    synthesizer.release("flow")
    return Run(logits, mel, synthesizer.vocode(mel)), ids


def drawn(logits: np.ndarray, sampling: SamplingConfig) -> np.ndarray:
    """Ids (N,) that the same noise draws from logits (N, V), each with an empty window."""
    count, vocab = logits.shape
    keys = jax.vmap(jax.random.key)(jnp.arange(count))
    noise = draw_noise(keys, jnp.zeros(count, jnp.int32), sampling.top_k, vocab)
    return np.asarray(ras_sample(jnp.asarray(logits), jnp.full((count, sampling.window), -1), noise, sampling)[0])


def divergence(exact: np.ndarray, ours: np.ndarray) -> float:
    """Mean Kullback-Leibler divergence, in nats, of the distributions of two sets of logits (N, V)."""
    log_exact, log_ours = (np.asarray(jax.nn.log_softmax(jnp.asarray(x))) for x in (exact, ours))
    return float((np.exp(log_exact) * (log_exact - log_ours)).sum(-1).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--dtype", nargs="+", default=["bfloat16", "int8"])
    parser.add_argument("--rows", type=int, default=8)
    add_cache_option(parser)
    args = parser.parse_args()
    start_jax(args.compile_cache)
    exact, ids = run(args.weights, FLOAT32.name, None, args.rows)
    sampling = Synthesizer(args.weights).config.sampling
    measures: dict[str, Callable[[Run], str]] = {
        "largest id agrees": lambda r: f"{np.mean(r.logits.argmax(-1) == exact.logits.argmax(-1)):.1%}",
        "drawn id agrees": lambda r: f"{np.mean(drawn(r.logits, sampling) == drawn(exact.logits, sampling)):.1%}",
        "KL divergence (nats)": lambda r: f"{divergence(exact.logits, r.logits):.1e}",
        "logits SNR (dB)": lambda r: f"{snr_db(r.logits, exact.logits):.1f}",
        "mel SNR (dB)": lambda r: f"{snr_db(r.mel, exact.mel):.1f}",
        "audio SNR (dB)": lambda r: f"{snr_db(r.audio, exact.audio):.1f}",
    }
    others = [run(args.weights, dtype, ids, args.rows)[0] for dtype in args.dtype]
    rows = [(name, *(measure(other) for other in others)) for name, measure in measures.items()]
    print_table(("against float32", *args.dtype), rows)


if __name__ == "__main__":
    main()
