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

# One that a sourced ROS installation has set says nothing about what can be installed here.
ifneq ($(origin ROS_DISTRO),command line)
ROS_DISTRO := kilted
endif
ifeq ($(wildcard dev/requirements-$(ROS_DISTRO).txt),)
$(error ROS_DISTRO '$(ROS_DISTRO)' cannot be installed without ROS; expected kilted or jazzy)
endif
ifeq ($(ROS_DISTRO),kilted)
VENV := .venv
else
VENV := .venv-$(ROS_DISTRO)
endif
PYTHON := $(VENV)/bin/python
# A sourced ROS installation must not leak into the virtual environment.
RUN := env -u PYTHONPATH -u AMENT_PREFIX_PATH ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST \
       ROS_DISTRO=$(ROS_DISTRO)
SET_UP := dev/set_up.sh dev/requirements.txt dev/requirements-$(ROS_DISTRO).txt \
          $(wildcard dev/vision_msgs/msg/*.msg)

.PHONY: help demo test lint faults benchmark soak soak-backend start-stop fuzz clean

help:
	@echo 'make demo   classify a few photos that arrive over ROS 2 topics'
	@echo 'make test   lint and run every test'
	@echo 'make lint   flake8, docstrings, licence headers, types'
	@echo 'make faults run the tests in which the BPU, its library, files or the world around fail'
	@echo 'make benchmark     measure engine, node and conversion on an emulated BPU'
	@echo 'make soak          a million pictures through the node (FRAMES=1000000), about 20 minutes'
	@echo 'make start-stop    a thousand nodes, each ended by a signal at any moment (ROUNDS=1000)'
	@echo 'make soak-backend  a million inferences on an emulated BPU with random failures'
	@echo 'make fuzz   millions of hostile messages against the parsers (FUZZ_RUNS=10000000)'
	@echo 'make clean  remove the virtual environments'
	@echo 'ROS_DISTRO=jazzy selects the other distribution (default: kilted)'

$(VENV)/set_up.done: $(SET_UP)
	@dev/set_up.sh $(VENV) $(ROS_DISTRO)

$(VENV)/installed.done: $(VENV)/set_up.done setup.py
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps \
	    --no-build-isolation --editable . && touch $@

demo: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/demo.py

lint: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/lint.py

test: lint
	@$(RUN) $(PYTHON) -m pytest test

# What goes wrong with BPU, library, model file: each test a line.
faults: $(VENV)/installed.done
	@$(RUN) $(PYTHON) -m pytest test -m faults --verbose --no-header --disable-warnings

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
soak: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/soak_node.py --frames $(FRAMES)

ROUNDS ?= 1000
start-stop: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/start_stop.py --rounds $(ROUNDS)

soak-backend: $(VENV)/installed.done
	@$(RUN) $(PYTHON) dev/soak_backend.py

FUZZ_RUNS ?= 10000000
fuzz: $(VENV)/installed.done
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --only-binary :all: \
	    -r dev/requirements-fuzz.txt >/dev/null 2>&1 || true
	@$(RUN) $(PYTHON) dev/fuzz.py --runs $(FUZZ_RUNS)

clean:
	rm -rf .venv .venv-* build
