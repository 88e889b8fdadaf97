# make lab    set up and open the course        make test   set up and run every check        make help   the rest

# The Python to build .venv with; name another one like this: make lab PYTHON=python3.13
PYTHON =
# Anything for JupyterLab, for example: make lab LABFLAGS=--no-browser
LABFLAGS =
# The chat model beside the book's microscope, so that where it is served this reads any text: BOOKFLAGS=--with-model
BOOKFLAGS =
# Which archives, for example: make bundle BUNDLEFLAGS="windows-x64 --python 3.12 --python 3.13"
BUNDLEFLAGS =
# The newest versions of all packages instead of those in constraints.txt: make lab LATEST=1
LATEST =

VENV_PYTHON := .venv/$(if $(filter Windows_NT,$(OS)),Scripts/python.exe,bin/python)
RUN = $(VENV_PYTHON)

.DEFAULT_GOAL := help
.PHONY: help lab test check book slides bundle exercises claims bench format constraints clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' Makefile

lab: .venv/.ready-to-learn  ## set up what a learner needs, then open JupyterLab at the first notebook
	@$(RUN) -m jupyter lab --notebook-dir=. $(LABFLAGS) notebooks/00_overview.ipynb

test: .venv/.ready-to-test  ## set up what the checks need, then run every check
	@$(RUN) tools/run_checks.py

check: .venv/.ready-to-test  ## lint, types, and the tests of what you changed, in two minutes
	@$(RUN) tools/run_checks.py changed

book: .venv/.ready-to-write  ## write the course as a website, build/book/index.html, and look at every page in a browser
	@$(RUN) tools/make_book.py $(BOOKFLAGS)

slides: .venv/.ready-to-test  ## write the decks for a room, build/slides/index.html, and look at every slide in a browser
	@$(RUN) tools/make_slides.py

bundle: .venv/.ready-to-learn  ## write archives for a room without internet, build/bundle, one a system (needs uv)
	@$(RUN) tools/make_bundle.py $(BUNDLEFLAGS)

exercises: .venv/.ready-to-test  ## make exercises/ anew from solutions/
	@$(RUN) tools/exercises.py

claims: .venv/.ready-to-test  ## judge every claim, from other seeds too, and write the pages of verdicts
	@$(RUN) tools/run_checks.py claims

bench: .venv/.ready-to-test  ## run the scripts behind every speed figure; nothing else should run meanwhile
	@$(RUN) benchmarks

format: .venv/.ready-to-test  ## sort imports, format the code, strip outputs from notebooks
	@$(RUN) -m ruff check --fix-only --quiet .
	@$(RUN) -m ruff format .
	@$(RUN) -m nbstripout --keep-id $$(find notebooks solutions -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')

constraints: .venv/.ready-to-test  ## make constraints.txt anew, with the newest versions (needs uv)
	@$(RUN) tools/lock.py

clean:  ## remove .venv and everything else that was built
	rm -rf .venv build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info gradebook.db
	find . -name __pycache__ -prune -exec rm -rf {} +
	find . -name .ipynb_checkpoints -prune -exec rm -rf {} +

# The stamps: set up again only when the list of packages has changed, or the choice between tested and newest.
KIND := $(if $(LATEST),latest,tested)
NEEDS = pyproject.toml constraints.txt requirements-models.txt .venv/.$(KIND)
SET_UP = $(FIND_PYTHON); "$$python" tools/set_up.py $(if $(LATEST),--latest) $(1) && \
	rm -f .venv/.tested .venv/.latest && touch .venv/.$(KIND) $(2)

.venv/.tested .venv/.latest: ;

.venv/.ready-to-learn: $(NEEDS)
	@$(call SET_UP,,$@)

.venv/.ready-to-test: $(NEEDS)
	@$(call SET_UP,--tests,.venv/.ready-to-learn $@)

.venv/.ready-to-write: $(NEEDS)
	@$(call SET_UP,--book,.venv/.ready-to-learn .venv/.ready-to-test $@)

# The user's own choice first, then the names that installers use. A name may be there and not work (a pyenv shim
# without a version behind it), so each is asked for its version.
define FIND_PYTHON
python=; for name in $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python); do \
  "$$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { python=$$name; break; }; done; \
if [ -z "$$python" ]; then \
  echo "Set-up stopped. No Python 3.11 or newer answers to: $(or $(PYTHON),python3 python3.13 python3.12 python3.11 python)." \
       "Install one (Debian, Ubuntu: sudo apt install python3 python3-venv; others: python.org) and try again." >&2; exit 1; fi; \
echo "Using $$("$$python" --version) ($$(command -v "$$python"))"
endef
