"""`cosy-jax synthesize`: a text and a recorded voice in, a wav out."""

import argparse
import time
from typing import TYPE_CHECKING, Any

from rich.table import Table

from cosy_jax.cli.common import add_command, add_runtime_options, console, progress_bar, start_jax, status

if TYPE_CHECKING:
    from cosy_jax.compile_log import CompileCount
    from cosy_jax.synthesis import Speech

_EXAMPLE = """cosy-jax synthesize --weights weights/tiny --text "Good morning." \\
      --prompt-wav voice.wav --prompt-text "What is said in voice.wav." --out morning.wav"""
_STAGES = ("prompt", "language model", "flow", "vocoder")


def add_parser(commands: Any) -> None:
    parser = add_command(commands, "synthesize", "speak a text in a recorded voice", _EXAMPLE, run)
    parser.add_argument("--weights", required=True, metavar="DIR", help="a folder that `cosy-jax convert` wrote")
    parser.add_argument("--text", required=True, help="what to say")
    parser.add_argument("--prompt-wav", required=True, metavar="FILE", help="the voice: a recording of up to 30 s")
    parser.add_argument("--prompt-text", required=True, help="what is said in the recording")
    parser.add_argument("--out", required=True, metavar="FILE", help="where the speech goes (.wav or .flac)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same speech (default: 0)")
    parser.add_argument("--llm", default="auto", choices=("auto", "rl", "base"), help="auto takes RL weights if any")
    parser.add_argument("--plot", metavar="PNG", help="also draw waveform and mel (needs matplotlib)")
    add_runtime_options(parser)


def run(args: argparse.Namespace) -> int:
    from cosy_jax.output import check_writable

    for path in filter(None, (args.out, args.plot)):
        check_writable(path)
    start_jax(args)
    from cosy_jax.compile_log import count_compilations
    from cosy_jax.output import write_audio
    from cosy_jax.precision import get_precision
    from cosy_jax.synthesis import Options, Synthesizer
    from cosy_jax.text.prompt_text import check_text, with_prefix

    check_text(args.text)
    synthesizer = Synthesizer(args.weights, llm=args.llm, precision=get_precision(args.dtype))
    status.print(f"language model: {synthesizer.llm}")
    if with_prefix(args.prompt_text)[1]:
        status.print("prompt text: put 'You are a helpful assistant.<|endofprompt|>' in front", markup=False)

    start = time.perf_counter()
    with count_compilations() as compiled, progress_bar() as bar:
        task = bar.add_task("prompt", total=len(_STAGES))
        voice = synthesizer.voice(args.prompt_wav, args.prompt_text)
        prompt_seconds = time.perf_counter() - start
        # One utterance needs them no more, and they are a third of the released weights.
        synthesizer.release("speech_tokenizer", "speaker_encoder")
        speech = synthesizer.speak(
            args.text,
            voice,
            Options(seed=args.seed),
            on_stage=lambda stage: bar.update(task, description=stage, completed=_STAGES.index(stage)),
        )
    write_audio(args.out, speech.audio, speech.sample_rate)
    if args.plot:
        from cosy_jax.plot import plot_speech

        plot_speech(args.plot, speech)
    _report(args.out, speech, prompt_seconds, time.perf_counter() - start, compiled)
    return 0


def _report(out: str, speech: "Speech", prompt_seconds: float, total: float, compiled: "CompileCount") -> None:
    table = Table("stage", "seconds", box=None)
    for stage, seconds in {"prompt": prompt_seconds, **speech.seconds, "all": total}.items():
        table.add_row(stage, f"{seconds:.2f}")
    console.print(table)
    console.print(f"of which {compiled.seconds:.1f} s compiling {compiled.programs} programs (kept for the next run)")
    console.print(
        f"{out}: {speech.duration:.2f} s of speech, {len(speech.tokens)} speech tokens, "
        f"real-time factor {total / speech.duration:.2f}",
        markup=False,
        soft_wrap=True,
    )
