# The commands of the course. `make` alone lists them.

BIN := .venv/bin
READY := .venv/.ready
PLATFORMS := x86_64-manylinux_2_28 aarch64-manylinux_2_28 x86_64-apple-darwin
THREADS := 1
LAB :=
PAGE := notebooks/00_start_here.ipynb
SITE_URL := http://localhost:8000
SITE_REPOSITORY :=
UPGRADE :=
COV :=
LESSONS := $(wildcard notebooks/*.ipynb)
NB := $(LESSONS) $(wildcard notebooks/solutions/*.ipynb notebooks/exercises/*.ipynb)

# The environment is made anew when the lock is newer, when it was moved, or when its Python is gone.
ifneq ($(shell $(BIN)/python -I -c '' 2>/dev/null && cat $(READY)),$(CURDIR))
.PHONY: $(READY)
endif

# No setting of the caller changes what the course does: not the one of a shell, Python, Jupyter or
# matplotlib, not a home that is missing or cannot be written. (Of pip and uv: see tools/venv.sh.)
OWN := $(CURDIR)/.venv/home
unexport CDPATH MATPLOTLIBRC $(filter PYTHON% MPL% JUPYTER%,$(.VARIABLES))
export PYTHONUTF8 = 1
export IPYTHONDIR = $(OWN)/ipython
export JUPYTER_CONFIG_DIR = $(OWN)/jupyter
export JUPYTER_DATA_DIR = $(OWN)/jupyter/data
export JUPYTER_RUNTIME_DIR = $(OWN)/jupyter/run
export MPLCONFIGDIR = $(OWN)/matplotlib
ifeq ($(shell test -w "$$HOME" && echo writable),)
export HOME = $(OWN)
endif

# What runs unwatched is the same for everybody.
LEAKS := COURSE_FULL OMP_% GOMP_% KMP_% MXNET_% PYTEST_% COVERAGE_% GIT_%
UNWATCHED := env $(addprefix -u ,$(filter $(LEAKS),$(.VARIABLES))) JUPYTER_NO_CONFIG=1

.NOTPARALLEL:
.PHONY: help lab test test-units test-notebooks test-order test-matrix notebooks zh site pdf browser full bare bench onnx lint lock upgrade

help:
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' Makefile

lab: $(READY)  ## open the course in JupyterLab
	$(BIN)/jupyter lab $(if $(filter 0,$(shell id -u)),--allow-root) \
	  $(if $(DISPLAY)$(WAYLAND_DISPLAY)$(filter Darwin,$(shell uname)),,--no-browser) \
	  --LabApp.default_url=/lab/tree/$(PAGE) $(LAB)

test: test-units test-notebooks  ## run every test, the notebooks included

test-units: $(READY)
	$(UNWATCHED) MPLBACKEND=agg OMP_NUM_THREADS=1 $(BIN)/pytest --numprocesses=auto --dist=worksteal $(COV)

test-notebooks: $(READY)
	$(UNWATCHED) OMP_NUM_THREADS=$(THREADS) $(BIN)/pytest $(NB) --timeout=900 -W default \
	  --numprocesses=$(if $(filter 1,$(THREADS)),auto,1) --dist=loadfile --no-loadscope-reorder \
	  --nbval --nbval-current-env --nbval-cell-timeout=600 --nbval-sanitize-with=tests/nbval.cfg

test-order: $(READY)  ## run each section alone, and each notebook twice, as learners do
	$(UNWATCHED) OMP_NUM_THREADS=1 $(BIN)/pytest -m order --numprocesses=auto --dist=worksteal

test-matrix: $(READY)  ## run the notebooks as older processors and other thread counts would (hours)
	$(BIN)/python tools/matrix.py

notebooks: $(READY)  ## execute the notebooks in place (one: make notebooks NB=notebooks/03_resnet.ipynb)
	$(BIN)/python tools/blanks.py
	$(UNWATCHED) $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False --ExecutePreprocessor.store_widget_state=False $(NB)
	$(BIN)/python tools/pictures.py
	$(BIN)/python tools/results.py

full: $(READY)  ## execute the lessons on all images, into build/full (hours)
	$(UNWATCHED) COURSE_FULL=1 $(BIN)/jupyter nbconvert --to notebook --execute --output-dir build/full $(LESSONS)

zh: $(READY)  ## bring notebooks/zh up to date with the English notebooks, and mark what is to be translated
	$(BIN)/python tools/zh.py

site: site/.venv/.ready  ## build the site in both languages, into build/site
	SITE_URL=$(SITE_URL) SITE_REPOSITORY=$(SITE_REPOSITORY) site/.venv/bin/python site/build.py

pdf: site  ## the same, with a PDF of the whole course in each language (needs chromium, libatomic1)
	SITE_URL=$(SITE_URL) site/.venv/bin/python site/pdf.py

browser: $(READY) site  ## try the site and the course in a browser (needs chromium, libatomic1)
	site/.venv/bin/pytest site/tests --confcutdir=site --rootdir=site --numprocesses=auto --dist=loadgroup

bare:  ## try the README's commands and the Dockerfile on a bare Debian (needs root, debootstrap)
	python3 tools/bare.py

bench: $(READY) benchmarks/.venv/.ready  ## measure speed and memory beside other ways, into benchmarks/RESULTS.md (hours)
	$(BIN)/python benchmarks

onnx: $(READY)  ## install what notebook 10 needs to write ONNX files
	$(BIN)/python -c 'import tomllib; groups = tomllib.load(open("pyproject.toml", "rb"))["dependency-groups"]; \
	  print(*groups["onnx"], sep="\n")' > .venv/onnx.txt
	if $(BIN)/python -c 'import pip'; then $(BIN)/python tools/install.py --requirement .venv/onnx.txt; \
	  else uv pip install --python .venv --requirement .venv/onnx.txt; fi

lint: $(READY)  ## check style and format of code and notebooks
	$(BIN)/ruff check
	$(BIN)/ruff format --check

lock:  ## compile requirements.txt and environment.yml from pyproject.toml; pins stay (needs uv)
	uv pip compile pyproject.toml --universal --all-extras --generate-hashes --no-strip-extras --quiet \
	  --custom-compile-command "make lock" --output-file requirements.txt $(UPGRADE)
	uv pip compile site/requirements.in --universal --python-version 3.11 --generate-hashes --no-strip-extras \
	  --quiet --custom-compile-command "make lock" --output-file site/requirements.txt $(UPGRADE)
	sh tools/environment.sh < requirements.txt > environment.yml
	for platform in $(PLATFORMS); do uv pip install --dry-run --quiet --only-binary :all: --no-deps \
	  --require-hashes --python-version 3.11 --python-platform $$platform --target build/none \
	  --requirement requirements.txt || exit; done

upgrade: UPGRADE = --upgrade
upgrade: lock  ## the same with the newest version of everything

$(READY): requirements.txt pyproject.toml
	sh tools/venv.sh

# What builds the site and tries it in a browser.
site/.venv/.ready: site/requirements.txt
	$(firstword $(wildcard $(BIN)/python) python3.11) -m venv --clear $(@D)
	$(@D)/bin/python tools/install.py --quiet --no-deps --require-hashes --requirement $<
	touch $@

# What the course is measured against, apart from its own environment.
benchmarks/.venv/.ready: benchmarks/requirements.txt | $(READY)
	$(BIN)/python -m venv --clear $(@D)
	$(@D)/bin/python tools/install.py --requirement $<
	touch $@
