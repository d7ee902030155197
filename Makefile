# make help prints the targets. Those that use a recipe take RECIPE=recipes/NAME.yaml and ARGS='--option value ...'.
PYTHON ?= python3
VENV   ?= .venv
RECIPE ?= recipes/scenes.yaml
ARGS   ?=
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
STAGE   = --config $(RECIPE) --config configs/stage/$(1).yaml $(ARGS)

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-train test kill-test fuzz lint docs train-vqvae train-vocoder tokenize pretrain-diffusion \
        train-diffusion train-autoregressive predict generate-many train-text-encoder train-tagger train-captioner evaluate \
        ablation bench load-test api-test

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-22s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v < (3, 13) else "Python 3.11 or 3.12 is needed, $(PYTHON) is %d.%d: make PYTHON=python3.11 ..." % v)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -c constraints.txt -e '.[dev]'
	@touch $@

setup: $(READY)  ## environment in .venv; every other target does this by itself

demo: $(READY)  ## sounds by the model of the package: open out/demo/index.html
	$(BIN)/diffsound demo $(ARGS)

demo-train: $(READY)  ## train the whole chain on procedural scenes and make a page of its clips: out/demo-train/index.html
	$(BIN)/diffsound demo-train $(ARGS)

test: $(READY)  ## all tests
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

kill-test: $(READY)  ## kill short trainings at 20 random moments and resume them: ARGS='--moments 20 --seed 0'
	$(BIN)/python tests/kill_training.py $(ARGS)

fuzz: $(READY)  ## coverage-guided fuzzing of what reads files: ARGS='audio --seconds 600', by default all for a minute
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[fuzz]'
	$(BIN)/python tests/fuzz/run.py $(ARGS)

lint: $(READY)  ## style
	$(BIN)/ruff check diffsound tests configs

docs: $(READY)  ## the documentation site, its links checked: open out/site/index.html
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --config-file configs/site/mkdocs.yml  # --quiet would undo --strict

train-vqvae: $(READY)  ## 1. the codec: waveform -> tokens -> mel
	$(BIN)/diffsound fit $(call STAGE,vqvae)

train-vocoder: $(READY)  ## 2. the vocoder: mel -> waveform (the toy recipes do without)
	$(BIN)/diffsound fit $(call STAGE,vocoder)

tokenize: $(READY)  ## 3. all clips to tokens, once
	$(BIN)/diffsound tokenize $(call STAGE,tokenize)

pretrain-diffusion: $(READY)  ## 4. (optional) the decoder on labels with random [MASK]
	$(BIN)/diffsound fit $(call STAGE,pretrain)

train-diffusion: $(READY)  ## 5. the decoder: text -> tokens
	$(BIN)/diffsound fit $(call STAGE,diffusion)

train-autoregressive: $(READY)  ## the baseline decoder
	$(BIN)/diffsound fit $(call STAGE,autoregressive)

predict: $(READY)  ## 6. a clip for every prompt
	$(BIN)/diffsound predict $(call STAGE,predict)

generate-many: $(READY)  ## a clip of every line of a long list of prompts, in archives
	$(BIN)/diffsound generate-many $(call STAGE,generate_many)

train-text-encoder: $(READY)  ## (optional) the small text encoder by itself
	$(BIN)/diffsound fit $(call STAGE,text_encoder)

train-tagger: $(READY)  ## the judge of scenes
	$(BIN)/diffsound fit $(call STAGE,tagger)

train-captioner: $(READY)  ## sound -> text, to compare with the text asked for
	$(BIN)/diffsound fit $(call STAGE,captioner)

evaluate: $(READY)  ## score what a system makes, with intervals, ceilings and a page: out/evaluation/report/index.html
	$(BIN)/diffsound evaluate --recipe $(RECIPE) $(ARGS)

ablation: $(READY)  ## three matrices, the baseline and all samplers compared: out/ablation/ablation.md
	$(BIN)/diffsound ablation --recipe $(RECIPE) $(ARGS)

bench: $(READY)  ## how long everything takes on this machine, beside the bare matrix products: out/bench.json
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[bench]'
	$(BIN)/diffsound bench $(ARGS)

load-test: $(READY)  ## 50 clients of `diffsound serve` at once for 10 minutes: is anything lost, does memory grow
	$(BIN)/python tests/load/serve_load.py $(ARGS)

api-test: $(READY)  ## `diffsound serve` against its own description, by schemathesis
	$(BIN)/python tests/load/serve_description.py $(ARGS)
