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

"""The storm, short: a few hundred calls, of which none may hang the node or confuse it."""

from __future__ import annotations

from support.fixture_types import StartPython
from support.patched_program import RESULTS_OF_THE_NEXT_IMAGE, start_patched

MODULE = 'endurance.storm_node'


def test_a_storm_of_five_seconds(start_python: StartPython) -> None:
    process = start_python('-m', MODULE, '--seconds', '5', '--short')
    output, errors = process.communicate(timeout=600)
    assert process.returncode == 0, output + errors
    assert output.endswith('all as it should be\n')


def test_it_notices_results_of_other_images(start_python: StartPython) -> None:
    """The check of the check: each result is taken for that of the next image."""
    process = start_patched(
        start_python, RESULTS_OF_THE_NEXT_IMAGE, MODULE, '--seconds', '1', '--short')
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1
    assert 'results of other images' in output
