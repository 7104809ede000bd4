# Needs make and Python >= 3.11 with pip; everything else goes into $(VENV).
#
#   make demo IMAGE=path/to/image.tif DEMO_ARGS="--pixel-size 0.0195"
#   make test PYTEST_ARGS="-k scaler"
#   make test TORCH_INDEX=https://download.pytorch.org/whl/cpu
#
# TORCH_INDEX is an extra package index for torch. On Linux, PyPI's torch brings
# several GB of CUDA libraries; the index above has the build for CPUs.

PYTHON3 ?= python3
VENV ?= .venv
TORCH_INDEX ?=
IMAGE ?=
JOBS ?= 2
PYTEST_ARGS ?=
BENCH_ARGS ?=
DEMO_ARGS ?=

PYTHON := $(VENV)/bin/python
PIP := $(PYTHON) -m pip install --disable-pip-version-check -c constraints.txt
PEERS := $(VENV)/peers
OLDEST := $(VENV)/oldest
NEWEST := $(VENV)/newest
PEERS_PIP := $(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
# One thread a worker: more of them get in each other's way.
PYTEST := OMP_NUM_THREADS=1 MPLBACKEND=Agg $(PYTHON) -m pytest

# One thread an example, JOBS examples at a time.
SPHINX := DOCS_JOBS=$(JOBS) OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON) -m sphinx -W --keep-going

.DEFAULT_GOAL := help
.PHONY: help demo docs docs-fast test test-oldest test-newest test-robustness test-slow coverage bench-localization bench-images bench-rvae bench-paper bench-gpu bench-pose bench-angle bench-search bench-scale train-unet bench-unet lint format clean

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-18s %s\n", $$1, $$2}' Makefile

demo: $(VENV)/.installed-demo ## image to domain map and report, into demo_output/ [IMAGE=path DEMO_ARGS]
	OMP_WAIT_POLICY=passive $(PYTHON) examples/demo.py $(if $(IMAGE),"$(IMAGE)",--example film) --output demo_output $(DEMO_ARGS)

docs: $(VENV)/.installed-docs ## build the documentation, all examples run, into docs/_build/html/
	$(SPHINX) docs docs/_build/html

docs-fast: $(VENV)/.installed-docs ## the same without running the examples
	$(SPHINX) -D plot_gallery=0 docs docs/_build/html-fast

test: $(VENV)/.installed-test ## run the tests and all docstring examples
	$(PYTEST) -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

test-oldest: $(OLDEST)/.installed ## run the tests with the oldest versions that are allowed
	$(subst $(PYTHON),$(OLDEST)/bin/python,$(PYTEST)) -n $(JOBS) --dist worksteal -W default $(PYTEST_ARGS)

test-newest: $(NEWEST)/.installed ## run the tests with the newest releases
	$(subst $(PYTHON),$(NEWEST)/bin/python,$(PYTEST)) -n $(JOBS) --dist worksteal -W default $(PYTEST_ARGS)

test-robustness: $(VENV)/.installed-test ## kill, fill, flip and mutate: tests/robustness/, minutes
	$(PYTEST) -m "slow or not slow" tests/robustness $(PYTEST_ARGS)

test-slow: $(VENV)/.installed-test ## run the tests that are marked slow
	$(PYTEST) -m slow $(PYTEST_ARGS)

coverage: $(VENV)/.installed-test ## run the tests and say which lines they miss
	$(PYTEST) -n $(JOBS) --dist worksteal --cov --cov-report=term --cov-report=html $(PYTEST_ARGS)

bench-localization: $(VENV)/.installed-bench ## compare AtomLocator with its peers, into docs/ [BENCH_ARGS]
	$(PYTHON) benchmarks/bench_localization.py $(BENCH_ARGS)

bench-images: $(VENV)/.installed-demo ## locators on generated, multislice and real images, into docs/ [BENCH_ARGS="--multislice DIR --real DIR"]
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive MPLBACKEND=Agg $(PYTHON) benchmarks/bench_images.py $(BENCH_ARGS)

bench-rvae: $(PEERS)/.installed ## compare RotationalVAE with its peers, into docs/ [BENCH_ARGS]
	$(PEERS)/bin/python benchmarks/bench_rvae.py $(BENCH_ARGS)

bench-paper: $(PEERS)/.installed ## compare the paper's network with the public code, about two hours of one core [BENCH_ARGS]
	$(PEERS)/bin/python benchmarks/bench_paper.py $(BENCH_ARGS)

bench-gpu: $(VENV)/.installed-demo ## measure throughput on a GPU [BENCH_ARGS]
	$(PYTHON) benchmarks/bench_gpu.py $(BENCH_ARGS)

bench-pose: $(VENV)/.installed-demo ## judge the angle seed by seed, into docs/ [BENCH_ARGS]
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/bench_pose.py $(BENCH_ARGS)

bench-angle: $(VENV)/.installed-demo ## judge the direction of the polarization, into docs/ [BENCH_ARGS]
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/bench_polarization_angle.py $(BENCH_ARGS)

bench-search: $(VENV)/.installed-bench ## search window and latents without truth [BENCH_ARGS]
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/bench_search.py $(BENCH_ARGS)

bench-scale: $(VENV)/.installed-demo ## time and memory of large fits [BENCH_ARGS]
	OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/bench_scale.py $(BENCH_ARGS)

train-unet: $(VENV)/.installed-demo ## train the network that UNetAtomLocator ships, half an hour of one core [BENCH_ARGS]
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/train_unet.py $(BENCH_ARGS)

bench-unet: $(VENV)/.installed-demo ## judge UNetAtomLocator, into docs/ [BENCH_ARGS]
	OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive $(PYTHON) benchmarks/bench_unet.py $(BENCH_ARGS)

lint: $(VENV)/.installed-test ## check style
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .

format: $(VENV)/.installed-test ## fix style where a tool can
	$(PYTHON) -m ruff check --fix .
	$(PYTHON) -m ruff format .

clean: ## remove the virtual environment and all that was made
	rm -rf $(VENV) demo_output docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst htmlcov .coverage .pytest_cache .ruff_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(PYTHON):
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; name one: make PYTHON3=python3.12 ...")'
	$(PYTHON3) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(VENV)/.installed-torch: constraints.txt | $(PYTHON)
	$(PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	@touch $@

$(VENV)/.installed-demo: pyproject.toml $(VENV)/.installed-torch
	$(PIP) --quiet -e '.[plot,io]'
	@touch $@

$(VENV)/.installed-test: pyproject.toml $(VENV)/.installed-torch
	$(PIP) --quiet -e '.[test]'
	@touch $@

$(VENV)/.installed-docs: pyproject.toml $(VENV)/.installed-torch
	$(PIP) --quiet -e '.[docs]'
	@touch $@

$(VENV)/.installed-bench: pyproject.toml $(VENV)/.installed-torch
	$(PIP) --quiet -e '.[bench]'
	@touch $@

# Old releases warn of things that newer ones have fixed, new ones of what will change.
$(OLDEST)/.installed: pyproject.toml constraints-oldest.txt | $(PYTHON)
	$(PYTHON) -m venv --clear $(OLDEST)
	$(OLDEST)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints-oldest.txt $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[test]'
	@touch $@

$(NEWEST)/.installed: pyproject.toml | $(PYTHON)
	$(PYTHON) -m venv --clear $(NEWEST)
	$(NEWEST)/bin/python -m pip install --quiet --disable-pip-version-check --upgrade $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) -e '.[test]'
	@touch $@

# The peers of RotationalVAE ask for versions of their own, here taken as they come.
$(PEERS)/.installed: pyproject.toml constraints.txt | $(PYTHON)
	$(PYTHON) -m venv --clear $(PEERS)
	$(PEERS_PIP) $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX)) torch
	$(PEERS_PIP) -e . matplotlib pandas six gpytorch pyro-ppl opencv-python-headless mendeleev
	$(PEERS_PIP) --no-deps atomai==0.8.1 pyroved==0.3.0
	@touch $@
