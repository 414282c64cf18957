# Every target works on a fresh clone: it makes a virtual environment and installs.
#   make test VENV=$VIRTUAL_ENV   uses the environment that is active
#   make test PYTHON=python3.12   makes it with another Python
PYTHON ?= python3.11
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
DEMO := demo
export TF_CPP_MIN_LOG_LEVEL ?= 2

.PHONY: install demo test lint format types slow mutate fuzz chaos bench clean

install: $(INSTALLED)

$(INSTALLED): requirements.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

$(DEMO)/data/dataset.json: | $(INSTALLED)
	$(BIN)/python datasets/convert.py --dataset=shapes --output_dir=$(DEMO)/data

demo: $(INSTALLED) $(DEMO)/data/dataset.json
	$(BIN)/python -m deeplab_tf.train --run_dir=$(DEMO)/run --preset=demo \
		--data.dataset_dir=$(DEMO)/data
	$(BIN)/python -m deeplab_tf.eval --run_dir=$(DEMO)/run
	$(BIN)/python -m deeplab_tf.vis --run_dir=$(DEMO)/run --split=val --limit=12 \
		--output_dir=$(DEMO)/pictures
	$(BIN)/python export/to_saved_model.py --run_dir=$(DEMO)/run \
		--output_dir=$(DEMO)/saved_model
	$(BIN)/python export/to_tflite.py --run_dir=$(DEMO)/run --input_size=161,161 \
		--output=$(DEMO)/model.tflite
	$(BIN)/python benchmarks/agreement.py --run_dir=$(DEMO)/run \
		--saved_model=$(DEMO)/saved_model --tflite=$(DEMO)/model.tflite \
		--pictures=$(DEMO)/pictures

test: lint types
	$(BIN)/python -m pytest -n 2 --dist loadfile --durations=10

lint: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(INSTALLED)
	$(BIN)/mypy

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

slow: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

mutate: $(INSTALLED)
	$(BIN)/python benchmarks/mutate.py $(MUTATE)

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzz.py

chaos: $(INSTALLED)
	$(BIN)/python benchmarks/chaos.py --kills=300

bench: $(INSTALLED)
	$(BIN)/python benchmarks/model_cost.py
	$(BIN)/python benchmarks/layers.py
	$(BIN)/python benchmarks/pipeline.py
	$(BIN)/python benchmarks/evaluation.py

clean:
	rm -rf $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
