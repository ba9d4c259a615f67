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

"""What all the programs without ROS have in common: their start, and the words of their errors."""

from __future__ import annotations

from pathlib import Path
from typing import List

import pytest
from support.engines import needs_litert
from support.fixture_types import StartPython

INTERRUPTED = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path, target=None):
        if name == 'mobilenetv2_ros.tools.printing':
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
from mobilenetv2_ros.tools import programs
sys.exit(getattr(programs, sys.argv[1])())
"""


TWICE = """
import os, signal, sys
from mobilenetv2_ros.tools.printing import run_printing

def work():
    try:
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        os.kill(os.getpid(), signal.SIGINT)
        print('tidied up')

sys.exit(run_printing('program', work))
"""


def test_the_echo_of_ctrl_c_does_not_keep_a_program_from_tidying_up(
        start_python: StartPython) -> None:
    process = start_python('-c', TWICE)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (130, 'tidied up\n', '')


@pytest.mark.parametrize('program', [
    'classify_bag', 'classify_image', 'download_model', 'evaluate'])
def test_ctrl_c_while_a_program_is_imported_ends_it_quietly(
        start_python: StartPython, program: str) -> None:
    process = start_python('-c', INTERRUPTED, program, 'board')
    assert process.communicate(timeout=60) == ('', '')
    assert process.returncode == 130


@pytest.mark.parametrize('options, words', [
    (['--model', 'missing.bin'], 'set --model to a model file'),
    pytest.param(['--labels', '{labels}'], '--labels', marks=needs_litert)])
@pytest.mark.parametrize('program', ['classify_image', 'evaluate'])
def test_errors_name_the_options_and_not_the_parameters(
        start_python: StartPython, tmp_path: Path, photos: Path, program: str,
        options: List[str], words: str) -> None:
    labels = tmp_path / 'two.txt'
    labels.write_text('one\ntwo\n')
    given = photos / ('labels.txt' if program == 'evaluate' else 'dam.jpg')
    _, errors = start_python(
        '-m', f'mobilenetv2_ros.tools.{program}', given,
        *(option.format(labels=labels) for option in options)).communicate(timeout=60)
    last = errors.splitlines()[-1]
    assert last.startswith(f'{program}: ') and words in last
    assert '_path' not in last
