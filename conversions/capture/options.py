"""The command's options."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CaptureError

STAGES = ("prompt", "llm", "flow", "hift", "stream", "noise", "trace")
MARKER = "<|endofprompt|>"
_PREFIX = f"You are a helpful assistant.{MARKER}"
# The recording in this repository and what is said in it.
_RECORDING = Path(__file__).resolve().parents[2] / "tests" / "data" / "prompt_0.flac"
_TRANSCRIPT = (
    "The little harbour town wakes before the sun, and the first boats leave while the lamps are still burning."
)
_TEXT = "Could you tell me how to get to the railway station from here?"
_EXAMPLE = """example:
  python conversions/capture_reference.py --reference CosyVoice --model Fun-CosyVoice3-0.5B --out dumps --float64
then, where cosy-jax is installed:
  cosy-jax parity --weights weights/cosyvoice3 --dumps dumps --llm base"""


@dataclass(frozen=True)
class Options:
    """What to capture, of which model, and how."""

    reference: Path
    matcha: Path | None
    model: Path
    out: Path
    device: str
    dtype: str
    float64: bool
    stages: frozenset[str]
    llm: str
    steps: int | None
    seed: int
    text: str
    prompt_wav: Path | None
    prompt_text: str
    training: bool

    @property
    def llm_stem(self) -> str:
        """Name of the language model's file, without suffix."""
        return "llm.rl" if self.llm == "rl" else "llm"

    @property
    def weights(self) -> list[str]:
        """Names of the files of weights that the stages read, without suffix."""
        read = {"llm": (self.llm_stem,), "flow": ("flow",), "hift": ("hift",), "stream": ("flow", "hift")}
        return sorted({stem for stage in self.stages for stem in read.get(stage, ())})

    @property
    def trace(self) -> bool:
        """Whether layers are stored too."""
        return "trace" in self.stages

    def bounds(self, text_tokens: int) -> tuple[int, int]:
        """Least and largest number of speech ids for a text: 2 and 20 a token, as in the reference, within --steps."""
        steps = self.steps or 20 * text_tokens
        return min(2 * text_tokens, steps), min(20 * text_tokens, steps)


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Options of a command line; CaptureError where they do not fit together."""
    args = _parser().parse_args(arguments)
    stages = frozenset(args.stages)
    if stages == {"trace"}:
        raise CaptureError("--stages trace goes with llm, flow or hift: name the stages whose layers are wanted.")
    if args.prompt_wav and not args.prompt_wav.is_file():
        raise CaptureError(f"No such recording: {args.prompt_wav}.")
    if args.steps is not None and args.steps < 1:
        raise CaptureError(f"--steps wants a number of ids from 1 on, not {args.steps}.")
    recording = args.prompt_wav or (_RECORDING if _RECORDING.is_file() else None)
    transcript = "" if args.prompt_wav else _TRANSCRIPT
    prompt_text = transcript if args.prompt_text is None else args.prompt_text
    if MARKER not in prompt_text:
        prompt_text = _PREFIX + prompt_text
    given = {**vars(args), "stages": stages, "prompt_wav": recording, "prompt_text": prompt_text}
    return Options(**given)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="capture_reference.py",
        description="Run the PyTorch reference, in its own environment, and write what it computes as dumps for "
        "`cosy-jax parity`.",
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    folder: dict[str, Any] = {"type": Path, "metavar": "DIR"}
    parser.add_argument("--reference", required=True, **folder, help="checkout of FunAudioLLM/CosyVoice")
    parser.add_argument("--model", required=True, **folder, help="released model folder (Fun-CosyVoice3-0.5B)")
    parser.add_argument("--out", required=True, **folder, help="where the dumps go")
    parser.add_argument("--matcha", **folder, help="(default: third_party/Matcha-TTS of the checkout)")
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"), help="(default: cpu)")
    parser.add_argument(
        "--dtype", default="float32", choices=("float32", "bfloat16", "float16"),
        help="of language model and flow, by autocast; the vocoder stays float32 (default: float32)",
    )  # fmt: skip
    parser.add_argument(
        "--float64",
        action="store_true",
        help="compute the truth of language model and flow too (the vocoder's always is): 2 to 4 times the time",
    )
    parser.add_argument(
        "--training",
        action="store_true",
        help="in place of speaking: one batch of each stage's training, its loss, gradients and three steps of Adam",
    )
    parser.add_argument(
        "--stages", nargs="+", default=STAGES, choices=STAGES, metavar="STAGE",
        help=f"some of: {' '.join(STAGES)} (default: all); trace adds layers to llm, flow and hift",
    )  # fmt: skip
    _add_speech_options(parser)
    return parser


def _add_speech_options(parser: argparse.ArgumentParser) -> None:
    """What is spoken, and by which language model."""
    parser.add_argument("--llm", default="base", choices=("base", "rl"), help="llm.pt or llm.rl.pt (default: base)")
    parser.add_argument(
        "--steps", type=int, metavar="N", help="at most N speech ids a segment (default: 20 a text token)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the sampled ids (default: 0)")
    parser.add_argument("--text", default=_TEXT, metavar="TEXT", help=f"to speak (default: {_TEXT})")
    parser.add_argument(
        "--prompt-wav", type=Path, metavar="FILE", help="recording of the voice (default: the one among the tests)"
    )
    parser.add_argument(
        "--prompt-text", metavar="TEXT", help=f"what is said in the recording, '{_PREFIX}' is put before it if missing"
    )
