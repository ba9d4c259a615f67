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

"""
Where the programs without ROS start: Ctrl-C ends them also while they are imported.

A KeyboardInterrupt within an import is printed as a traceback, or gets lost where C code runs
Python. So signals are held back until all is there.
"""

from __future__ import annotations

from importlib import import_module

from mobilenetv2_ros.stop_signals import hold_stop_signals, release_stop_signals


def classify_bag() -> int:
    """Start the program of this name."""
    return _start('classify_bag')


def classify_image() -> int:
    """Start the program of this name."""
    return _start('classify_image')


def download_model() -> int:
    """Start the program of this name."""
    return _start('download_model')


def evaluate() -> int:
    """Start the program of this name."""
    return _start('evaluate')


def _start(name: str) -> int:
    hold_stop_signals()
    program = import_module(f'mobilenetv2_ros.tools.{name}')
    try:
        release_stop_signals()
        code: int = program.main()
        return code
    except KeyboardInterrupt:
        return 130
