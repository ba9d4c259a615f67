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

"""Programs of tests that are made to see what is wrong."""

from __future__ import annotations

import subprocess

from support.fixture_types import StartPython

RESULTS_OF_THE_NEXT_IMAGE = """
from mobilenetv2_ros.tools.benchmark import load
read_number = load.read_number
load.read_number = lambda message: read_number(message) + 1
"""
"""Each result is taken for that of the image behind its own."""


def start_patched(start_python: StartPython, patch: str, module: str,
                  *arguments: str) -> subprocess.Popen[str]:
    """
    Start a module as a program, after something has been changed.

    :param patch: Python that runs before.
    :param arguments: of the program.
    """
    return start_python(
        '-c', f'import runpy, sys\n{patch}\nsys.argv = {[module, *arguments]!r}\n'
        f"runpy.run_module({module!r}, run_name='__main__')")
