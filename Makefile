# Everything a newcomer needs: `make demo` shows it, `make test` checks it.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# pyannote.audio and coqui-tts need torchaudio, which fits one version of torch: an environment of their own.
TORCHAUDIO := .venv-torchaudio
TORCHAUDIO_TESTS := tests/test_diarize_pyannote.py tests/test_synthesize_xtts.py
NEURAL_TESTS := $(filter-out $(TORCHAUDIO_TESTS),$(shell grep -l importorskip tests/test_*.py))
APERTIUM := apertium apertium-es-pt apertium-por-cat apertium-pt-gl apertium-es-gl apertium-fra-cat apertium-fr-es apertium-spa-ita apertium-spa-cat

# Extras of the neural profile that live together with a CPU build of torch; without them their tests are skipped.
NEURAL := demucs,llm,pocket,transformers,wav2lip,whisper

.PHONY: demo neural test test-neural check bench soak fuzz cluster cluster-tools install models apertium clean

demo: install models  ## dub the sample into Brazilian Portuguese
	$(BIN)/dubwright translate data/samples/statement-en.mp4 --to pt-BR --out data/out --force

test: install models check  ## ruff, the type checker, the whole suite
	$(BIN)/python -m pytest

test-neural: neural models $(TORCHAUDIO)/.installed  ## the tests of all neural engines; fetches a small LLM (250 MB); 3 GB, or 9 with CUDA
	$(BIN)/python -m pip install --quiet --constraint constraints.txt xllamacpp
	PYTHONPATH=tests $(BIN)/python -m pytest -p nothing_missing -m "" $(NEURAL_TESTS)
	PYTHONPATH=tests $(TORCHAUDIO)/bin/python -m pytest -p nothing_missing -m "" $(TORCHAUDIO_TESTS)

$(TORCHAUDIO)/.installed: pyproject.toml constraints.txt constraints-torchaudio.txt
	$(PYTHON) -m venv $(TORCHAUDIO)
	grep -vE "^(torch|triton)==" constraints.txt | cat - constraints-torchaudio.txt > $(TORCHAUDIO)/constraints.txt
	$(TORCHAUDIO)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(TORCHAUDIO)/bin/python -m pip install --quiet --constraint $(TORCHAUDIO)/constraints.txt --editable ".[dev,pyannote,xtts]"
	touch $@

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: install models  ## print the figures (docs/figures.md has the last ones); ONLY=speed|lips|hearing|memory|translation
	$(BIN)/python bench/run.py $(ONLY)

soak: install models  ## kill a run with SIGKILL at KILLS random moments, go on each time, compare with an undisturbed run
	$(BIN)/python bench/soak.py --kills $(or $(KILLS),32)

cluster: install models  ## 6 videos x 3 languages on two pretended machines, each file compared; KILL=S: one dies S seconds into its work
	$(BIN)/python bench/cluster.py $(if $(KILL),--kill $(KILL))

cluster-tools:  ## what `make cluster` needs beside the project (Debian/Ubuntu)
	apt-get update -qq && apt-get install -y -qq postgresql

fuzz: install models  ## read FILES damaged files of every kind; one line each, no crash, no hang, no memory over 3 GB
	$(BIN)/python bench/fuzz.py --files $(or $(FILES),2400)

install: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("dubwright needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Run: make PYTHON=python3.11 ...") if sys.version_info < (3, 11) else None'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[dev]"
	touch $(STAMP)

models: install
	$(BIN)/dubwright models fetch

neural: install  ## the neural engines that can be tested without a GPU or a model hub
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable ".[$(NEURAL)]"

apertium:  ## more target languages: es ca gl fr it (Debian/Ubuntu)
	apt-get update -qq && apt-get install -y -qq $(APERTIUM)

clean:
	rm -rf $(VENV) $(TORCHAUDIO) data/out .pytest_cache .ruff_cache .mypy_cache
