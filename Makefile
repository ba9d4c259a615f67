# Copyright 2026 mobilenetv2_ros contributors
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# For machines without a ROS installation: every target makes the virtual environment it needs.
# With ROS 2 installed, colcon builds and tests this package as any other.

ENVIRONMENT := kilted
# ROS_DISTRO=jazzy on the command line says the same; a sourced ROS installation sets it too, which
# says nothing about what can be installed here.
ifeq ($(origin ROS_DISTRO),command line)
ENVIRONMENT := $(ROS_DISTRO)
endif
ifeq ($(filter $(ENVIRONMENT),kilted jazzy board),)
$(error environment '$(ENVIRONMENT)' is unknown; expected kilted, jazzy or board)
endif
ifeq ($(ENVIRONMENT),board)
DISTRO := jazzy
LIBRARIES := requirements-board.txt
# The linters need newer libraries.
LINT :=
else
DISTRO := $(ENVIRONMENT)
LIBRARIES := requirements.txt
LINT := lint
endif
VENV := .venv$(filter-out -kilted,-$(ENVIRONMENT))
PYTHON := $(VENV)/bin/python
# A sourced ROS installation must not leak into the virtual environment.
RUN := env -u PYTHONPATH -u AMENT_PREFIX_PATH ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
       ROS_DISTRO=$(DISTRO)
SET_UP := dev/set_up.sh dev/$(LIBRARIES) dev/requirements-$(DISTRO).txt \
          $(wildcard dev/*_msgs/msg/*.msg)

.PHONY: help demo test lint faults coverage benchmark soak soak-backend start-stop fuzz clean

help:
	@echo 'make demo   classify a few photos that arrive over ROS 2 topics'
	@echo 'make test   lint and run every test'
	@echo 'make lint   flake8, docstrings, licence headers, types'
	@echo 'make faults run the tests in which the BPU, its library, files or the world around fail'
	@echo 'make coverage      run every test and tell which lines of the package were not run'
	@echo 'make benchmark     measure engine, node and conversion on an emulated BPU'
	@echo 'make soak          a million images through the node (FRAMES=1000000), then a storm of'
	@echo '                   transitions, parameters and faults (STORM=420 seconds), 30 minutes'
	@echo 'make start-stop    a thousand nodes, each ended by a signal at any moment (ROUNDS=1000)'
	@echo 'make soak-backend  a million inferences on an emulated BPU with random failures'
	@echo 'make fuzz   millions of hostile messages against the parsers (FUZZ_RUNS=10000000)'
	@echo 'make clean  remove the virtual environments'
	@echo 'ENVIRONMENT=jazzy  with ROS 2 Jazzy in place of Kilted'
	@echo 'ENVIRONMENT=board  with the Python and the libraries of an RDK X5 board (needs python3.10)'

$(VENV)/set_up.done: $(SET_UP)
	@dev/set_up.sh $(VENV) $(ENVIRONMENT)

$(VENV)/installed.done: $(VENV)/set_up.done setup.py
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable . && touch $@

demo: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/demo.py

lint: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/lint.py

# Most tests wait for a node most of the time: two at once keep a core busy.
test: $(LINT) $(VENV)/installed.done
	@$(RUN) $(PYTHON) -m pytest test --numprocesses 2 --dist worksteal

# What goes wrong with BPU, library, model file: each test a line.
faults: $(VENV)/installed.done
	@$(RUN) $(PYTHON) -m pytest test -m faults --verbose --no-header --disable-warnings

# Tests that fail do not keep the figures back, and do fail the target.
COVERAGE := $(PYTHON) -m coverage
coverage: $(VENV)/installed.done
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check -r dev/requirements-coverage.txt
	@rm -rf build/coverage
	@status=0; \
	$(RUN) $(COVERAGE) run --rcfile dev/coverage.ini -m pytest test || status=$$?; \
	$(COVERAGE) combine --quiet --rcfile dev/coverage.ini && \
	$(COVERAGE) report --rcfile dev/coverage.ini && exit $$status

# A stand-in for the BPU: the library that libdnn.so is looked for in, and a model for it.
build/emulated_libdnn/libdnn.so: $(VENV)/installed.done test/emulated_libdnn/libdnn.c \
        test/emulated_libdnn/hb_dnn.h
	@cd test && ../$(PYTHON) -c 'import emulated_libdnn, pathlib; \
	    emulated_libdnn.build(pathlib.Path("../build/emulated_libdnn"))'

build/emulated_libdnn/bare_calls: test/emulated_libdnn/bare_calls.c \
        build/emulated_libdnn/libdnn.so
	@$(CC) -std=c11 -O2 -pthread $< -Lbuild/emulated_libdnn -ldnn -o $@

benchmark: build/emulated_libdnn/bare_calls
	@$(RUN) LD_LIBRARY_PATH=build/emulated_libdnn PYTHON=$(PYTHON) dev/benchmark.sh

FRAMES ?= 1000000
STORM ?= 420
soak: $(VENV)/installed.done
	@cd test && $(RUN) ../$(PYTHON) -m endurance.soak_node --frames $(FRAMES)
	@cd test && $(RUN) ../$(PYTHON) -m endurance.storm_node --seconds $(STORM)

ROUNDS ?= 1000
start-stop: $(VENV)/installed.done
	@cd test && $(RUN) ../$(PYTHON) -m endurance.start_stop --rounds $(ROUNDS)

soak-backend: $(VENV)/installed.done
	@cd test && $(RUN) ../$(PYTHON) -m endurance.soak_backend

FUZZ_RUNS ?= 10000000
fuzz: $(VENV)/installed.done
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	    -r dev/requirements-fuzz.txt >/dev/null 2>&1 || true
	@$(RUN) $(PYTHON) dev/fuzz.py --runs $(FUZZ_RUNS)

clean:
	rm -rf .venv .venv-* build
