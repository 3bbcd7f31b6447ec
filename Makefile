# Each target makes its own environment in .venv; only Python 3.11 or newer, git and make are needed beforehand.

PYTHONS ?= python3.13 python3.12 python3.11 python3
BIN := .venv/bin
INSTALLED := .venv/installed

WEIGHTS ?= weights/embedded
DEMO_TEXT ?= Good morning! I would like a cup of tea and two apples, please.
DEMO_VOICES ?= rms awb
DEMO_PROMPT_TEXT ?= This is what the recording says.

.PHONY: demo serve test test-all lint voice-data clean

# The empty line ends one command of several.
define SPEAK
$(BIN)/cosy-jax synthesize --weights $(WEIGHTS) --text "$(DEMO_TEXT)" --voice $(1) \
    --out demo-$(1).wav --plot demo-$(1).png

endef

# A model that brings voices speaks in two of them: sound, picture of waveform and mel, and word error rate.
demo: $(INSTALLED)
ifneq ($(wildcard $(WEIGHTS)/voices/*.safetensors),)
	$(foreach voice,$(DEMO_VOICES),$(call SPEAK,$(voice)))
	@$(BIN)/python -m recipes.embedded_voice.heard --text "$(DEMO_TEXT)" $(DEMO_VOICES:%=demo-%.wav)
else
	$(BIN)/cosy-jax synthesize --weights $(WEIGHTS) --text "$(DEMO_TEXT)" \
	    --prompt-wav tests/data/prompt_0.flac --prompt-text "$(DEMO_PROMPT_TEXT)" --out demo.wav
endif
	@echo "The command is $(BIN)/cosy-jax; to call it cosy-jax alone: source $(BIN)/activate"

# A server and its page at http://127.0.0.1:8000.
serve: $(INSTALLED)
	$(BIN)/cosy-jax serve

# Most of a test's time is compiling, which takes one core: a process a core, each with whole files of tests. Their
# order stays: the other one puts files of few but long tests last, and one core ends alone.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --dist loadfile --no-loadscope-reorder

# The quick round; test-all is the whole one.
test: lint
	$(PYTEST) -m "not slow"

test-all: lint
	$(PYTEST) --durations=20 --durations-min=30

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# What the embedded voice is trained on, into OUT (default: build/embedded_voice); needs Debian's flite.
voice-data: $(INSTALLED)
	$(MAKE) --directory recipes/embedded_voice

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis demo.wav demo-*.wav demo-*.png

$(INSTALLED): pyproject.toml
	@for name in $(PYTHONS); do \
	    if $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	        echo "Installing into .venv with $$name"; exec $$name -m venv .venv; \
	    fi; \
	done; echo "No Python 3.11 or newer found: install one, or name it with PYTHONS=..." >&2; exit 1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@
