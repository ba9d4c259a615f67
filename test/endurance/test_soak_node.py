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

"""The soak test of the node, short: a few thousand images show neither speed nor growth."""

from __future__ import annotations

from support.fixture_types import StartPython
from support.patched_program import RESULTS_OF_THE_NEXT_IMAGE, start_patched

MODULE = 'endurance.soak_node'


def test_ten_thousand_images_and_ten_cameras(start_python: StartPython) -> None:
    process = start_python('-m', MODULE, '--frames', '10000', '--short')
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert 'sent by 10 cameras' in output
    assert output.endswith('all as it should be\n')


def test_it_notices_results_of_other_images(start_python: StartPython) -> None:
    """The check of the check: each result is taken for that of the next image."""
    process = start_patched(
        start_python, RESULTS_OF_THE_NEXT_IMAGE, MODULE, '--frames', '500', '--short')
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert 'results of other images' in output
