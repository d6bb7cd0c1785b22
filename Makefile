# The commands of the course. `make` alone lists them.

BIN := .venv/bin
READY := .venv/.ready
PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 x86_64-apple-darwin
NB := $(wildcard notebooks/*.ipynb notebooks/solutions/*.ipynb notebooks/exercises/*.ipynb)

# The environment is laid anew when the lock is newer, when it was moved, or when its Python is gone.
ifneq ($(shell $(BIN)/python -c 'print(open("$(READY)").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(READY)
endif

# What runs unwatched must not hang on the settings of whoever runs it.
test notebooks: export JUPYTER_NO_CONFIG = 1
test notebooks: export IPYTHONDIR = $(CURDIR)/.venv/ipython
unexport MPLBACKEND PYTHONPATH PYTHONHOME JUPYTER_PATH

.PHONY: help lab test notebooks bench lint lock upgrade

help:
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-10s %s\n", $$1, $$2}' Makefile

lab: $(READY)  ## open the course in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
	  $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser) \
	  --LabApp.default_url=/lab/tree/notebooks/00_start_here.ipynb

test: $(READY)  ## run every test, the notebooks included
	MPLBACKEND=agg OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=worksteal --cov
	OMP_NUM_THREADS=1 $(BIN)/pytest notebooks --timeout=600 -W default \
	  --numprocesses=auto --dist=loadfile --nbval --nbval-current-env \
	  --nbval-cell-timeout=300 --nbval-sanitize-with=tests/nbval.cfg

.PHONY: test-matrix
test-matrix: export JUPYTER_NO_CONFIG = 1
test-matrix: export IPYTHONDIR = $(CURDIR)/.venv/ipython
test-matrix: $(READY)  ## run the notebooks as older processors and other thread counts would (hours)
	$(BIN)/python tools/matrix.py

notebooks: $(READY)  ## execute the notebooks in place (one: make notebooks NB=notebooks/03_resnet.ipynb)
	$(BIN)/python tools/blanks.py
	$(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False $(NB)
	$(BIN)/python tools/pictures.py

bench: $(READY) benchmarks/.venv/.ready  ## measure speed and memory beside other ways, into benchmarks/RESULTS.md (hours)
	$(BIN)/python benchmarks

lint: $(READY)  ## check style and format of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lock:  ## compile requirements.txt and environment.yml from pyproject.toml, other pins stay (needs uv)
	uv pip compile pyproject.toml --universal --all-extras --generate-hashes --no-strip-extras --quiet \
	  --custom-compile-command "make lock" --output-file requirements.txt $(UPGRADE)
	sh tools/environment.sh < requirements.txt > environment.yml
	for platform in $(PLATFORMS); do uv pip install --dry-run --quiet --only-binary :all: --no-deps \
	  --require-hashes --python-version 3.11 --python-platform $$platform --target build/none \
	  --requirement requirements.txt || exit; done

upgrade: UPGRADE = --upgrade
upgrade: lock  ## the same with the newest version of everything

$(READY): requirements.txt pyproject.toml
	sh tools/venv.sh

# What the course is measured against, apart from its own environment.
benchmarks/.venv/.ready: benchmarks/requirements.txt | $(READY)
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/python -m pip install --requirement $<
	touch $@
