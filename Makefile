# Every target does its own set-up: a virtual environment in .venv, made once, by Python 3.11 to 3.13 (TensorFlow has packages for these).
PYTHON ?= python3
BIN := .venv/bin
DEMO := runs/demo
INSTALLED := .venv/installed
SECONDS ?= 600

.PHONY: help install demo test coverage lint bench bench-search bench-members bench-inference bench-scale docs recorded-grid studies faults fuzz clean-demo
.DELETE_ON_ERROR:

help:
	@echo "make demo   tune, train, report and export a digit classifier (about 2 minutes)"
	@echo "make test   lint and the test suite"
	@echo "make coverage  the tests with branch coverage of zoo and tuning"
	@echo "make lint   ruff and mypy"
	@echo "make docs   the documentation as a site, in site/"
	@echo "make bench  training speed beside Keras, PyTorch and scikit-learn (about 15 minutes, on a quiet machine)"
	@echo "make bench-search   searches beside Keras Tuner, Optuna and Ray Tune (on a quiet machine)"
	@echo "make bench-members  small models as members of one program (about 6 minutes, on a quiet machine)"
	@echo "make bench-inference  latency of the exported formats beside Keras and PyTorch (about 6 minutes, on a quiet machine)"
	@echo "make bench-scale  10,000 trials, 100,000 images, long pages (about 40 minutes, on a quiet machine)"
	@echo "make studies  runs every study in full, or goes on where it was interrupted (a good two hours)"
	@echo "make faults  kills training, searches, exports, caches and reports thirty times each (about 15 minutes)"
	@echo "make fuzz  damaged and hostile files for every reader (SECONDS=600 for each, so hours in all)"
	@echo "make recorded-grid  records anew the grid that oracles are tried on (about 5 minutes)"

install: $(INSTALLED)

$(INSTALLED): setup.cfg pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "Python 3.11, 3.12 or 3.13 is needed: make PYTHON=python3.11")'
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear .venv
	@echo "installing keras-zoo and what it needs into .venv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(DEMO)/run/export/certificate.json
	@$(BIN)/python scripts/evaluate.py $(DEMO)/run --robustness
	@echo "export $(DEMO)/run/export/saved_model"
	@echo "certificate $(DEMO)/run/export/certificate.json"
	@$(BIN)/python scripts/report.py $(DEMO)/run $(DEMO)/search

$(DEMO)/search/result.json: | $(INSTALLED)
	@$(BIN)/python scripts/tune.py --model cnn --dataset digits --method random --max-trials 6 --epochs 8 \
	    --batch-size 32 --directory $(DEMO)/search

$(DEMO)/run/result.json: $(DEMO)/search/result.json
	@rm -rf $(DEMO)/run
	@$(BIN)/python scripts/train.py --from-search $(DEMO)/search --epochs 40 --patience 8 --output $(DEMO)/run

$(DEMO)/run/export/certificate.json: $(DEMO)/run/result.json
	@$(BIN)/python scripts/export.py $(DEMO)/run

clean-demo:
	rm -rf $(DEMO)

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(INSTALLED)
	$(BIN)/python benchmarks/training.py

bench-search: $(INSTALLED)
	$(BIN)/python benchmarks/search.py

bench-members: $(INSTALLED)
	$(BIN)/python benchmarks/members.py

bench-inference: $(INSTALLED)
	$(BIN)/python benchmarks/inference.py

bench-scale: $(INSTALLED)
	$(BIN)/python benchmarks/scale.py --repeats 1

docs: $(INSTALLED)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet
	@echo "site/index.html; with a search: $(BIN)/python -m http.server --directory site"

studies: $(INSTALLED)
	$(BIN)/python scripts/study.py run --all

recorded-grid: $(INSTALLED)
	$(BIN)/python benchmarks/record_grid.py

faults: $(INSTALLED)
	$(BIN)/python tests/faults/rounds.py --rounds 30

fuzz: $(INSTALLED)
	$(BIN)/python tests/fuzzing/fuzz.py --seconds $(SECONDS)

coverage: $(INSTALLED)
	$(BIN)/python -m pytest -n 2 --dist loadfile --cov --cov-report=term

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile  # most of the time is spent starting TensorFlow
