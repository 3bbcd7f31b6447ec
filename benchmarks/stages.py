"""Seconds a stage, compiling apart, on the standard workload: 47 text ids, 125 prompt and 125 new speech tokens, 500
mel frames, 5 s of audio.

    python -m benchmarks.stages --weights weights/random [--dtype bfloat16] [--runs 3]
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from cosy_jax.cli.common import add_runtime_options, start_jax
from cosy_jax.compile_log import count_compilations
from cosy_jax.llm.decode import Prompts, generate
from cosy_jax.llm.qwen2 import init_cache
from cosy_jax.llm.speech_lm import prompt_row
from cosy_jax.precision import get_precision
from cosy_jax.prompt.prompt import Prompt
from cosy_jax.synthesis import Synthesizer

TEXT_IDS, PROMPT_TOKENS, NEW_TOKENS = 47, 125, 125


def standard_prompt() -> Prompt:
    """125 random speech tokens with 250 mel frames of plausible level."""
    random = np.random.default_rng(0)
    tokens = random.integers(0, 6561, PROMPT_TOKENS).astype(np.int32)
    mel = random.normal(-6, 2, (2 * PROMPT_TOKENS, 80)).astype(np.float32)
    return Prompt(tokens, mel, random.standard_normal(192, np.float32))


def decode_standard(synthesizer: Synthesizer, batch: int = 1) -> np.ndarray:
    """Exactly 125 new tokens for each of `batch` rows: (batch, 125)."""
    config, size, bucket = synthesizer.config.llm, 192, 128
    row = prompt_row(list(range(TEXT_IDS)), standard_prompt().speech_tokens, config)
    pad = (0, size - len(row.ids))
    prompts = Prompts(
        ids=jnp.asarray(np.tile(np.pad(row.ids, pad), (batch, 1))),
        is_text=jnp.asarray(np.tile(np.pad(row.is_text, pad), (batch, 1))),
        lengths=jnp.full(batch, len(row.ids)),
        min_new=jnp.full(batch, NEW_TOKENS),
        max_new=jnp.full(batch, NEW_TOKENS),
    )
    state = generate(
        synthesizer.params("llm"),
        init_cache(config, batch, size + bucket, synthesizer.precision),
        prompts,
        jax.vmap(jax.random.key)(jnp.arange(batch)),
        config=config,
        sampling=synthesizer.config.sampling,
        precision=synthesizer.precision,
        bucket=bucket,
    )
    return np.asarray(state.tokens)[:, :NEW_TOKENS]


def measure(work: Callable[[], object], runs: int) -> dict[str, float]:
    """First run, with how much of it was compiling, then the median of `runs` warm ones; all in seconds."""
    with count_compilations() as compiled:
        start = time.perf_counter()
        work()
        first = time.perf_counter() - start
    warm = []
    for _ in range(runs):
        start = time.perf_counter()
        work()
        warm.append(time.perf_counter() - start)
    return {"first": first, "compiling": compiled.seconds, "warm": statistics.median(warm)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", required=True)
    parser.add_argument("--runs", type=int, default=3)
    add_runtime_options(parser)
    args = parser.parse_args()
    start_jax(args)
    synthesizer = Synthesizer(args.weights, precision=get_precision(args.dtype))
    prompt = standard_prompt()
    results = {}
    for stage, parameters, work in (
        ("language model", "llm", lambda: decode_standard(synthesizer)),
        ("flow", "flow", lambda: synthesizer.mel(prompt.speech_tokens, prompt)),
        ("vocoder", "hift", lambda: synthesizer.vocode(prompt.mel)),
    ):
        start = time.perf_counter()
        synthesizer.params(parameters)
        load = time.perf_counter() - start
        results[stage] = {"load": load, **measure(work, args.runs)}
        synthesizer.release(parameters)
        print(stage, json.dumps({key: round(value, 3) for key, value in results[stage].items()}))
    warm = sum(result["warm"] for result in results.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"all: {warm:.2f} s warm, real-time factor {warm / 5:.2f}, peak memory {peak:.2f} GiB")


if __name__ == "__main__":
    main()
