"""The conversion rules, one module a stage."""

from dataclasses import dataclass

from ..mapping import Ignore, Rule
from . import flow, llm, speaker_encoder, speech_tokenizer, vocoder


@dataclass(frozen=True)
class StageRules:
    """Where a stage's weights are (`files`, the first that exists), and how they become ours."""

    files: tuple[str, ...]
    rules: tuple[Rule | Ignore, ...]
    prefix: str = ""


STAGE_RULES: dict[str, StageRules] = {
    "llm": StageRules(("llm.pt", "llm.safetensors"), llm.RULES),
    "llm.rl": StageRules(("llm.rl.pt", "llm.rl.safetensors"), llm.RULES),
    "flow": StageRules(("flow.pt", "flow.safetensors"), flow.RULES),
    "vocoder": StageRules(("hift.pt", "hift.safetensors"), vocoder.RULES, vocoder.PREFIX),
    "speech_tokenizer": StageRules(("speech_tokenizer_v3.onnx",), speech_tokenizer.RULES),
    "speaker_encoder": StageRules(("campplus.onnx",), speaker_encoder.RULES),
}
