"""Which files of a release a conversion reads; a release holds others that it does not."""

from collections.abc import Callable

from cosy_jax.checkpoint.reader import LLM_STAGES

from .release_config import QWEN_FOLDER, YAML_FILE
from .rules import STAGE_RULES
from .tokenizer_files import TOKENIZER_FILES

SETTINGS_FILES = (YAML_FILE, *(f"{QWEN_FOLDER}/{name}" for name in ("config.json", *TOKENIZER_FILES)))


def stage_file(stage: str, present: Callable[[str], bool]) -> str | None:
    """The stage's file that is read, by its name in the release: the first that is present, or None."""
    return next(filter(present, STAGE_RULES[stage].files), None)


def release_files(present: Callable[[str], bool]) -> tuple[list[str], list[str]]:
    """What is read of a release, by names within it, and what is missing from it."""
    found = {stage: stage_file(stage, present) for stage in STAGE_RULES}
    missing = [rules.files[0] for stage, rules in STAGE_RULES.items() if not found[stage] and stage not in LLM_STAGES]
    if not any(found[stage] for stage in LLM_STAGES):
        missing.insert(0, STAGE_RULES[LLM_STAGES[0]].files[0])
    missing += [name for name in SETTINGS_FILES if not present(name)]
    return [*filter(None, found.values()), *filter(present, SETTINGS_FILES)], missing
