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

"""The soak test of the backend, short: everything fails at random, and nothing leaks."""

from __future__ import annotations

import pytest
from support.fixture_types import StartPython
from support.patched_program import start_patched

pytestmark = pytest.mark.faults


def test_twenty_thousand_inferences_with_random_failures(start_python: StartPython) -> None:
    process = start_python('-m', 'endurance.soak_backend', '--inferences', '20000')
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, output + errors
    assert output.endswith('all as it should be\n')


def test_it_notices_a_flush_that_is_missing(start_python: StartPython) -> None:
    """The check of the check: without it, the results are those of other images."""
    process = start_patched(
        start_python, 'from mobilenetv2_ros.inference.backends import libdnn_abi\n'
        'libdnn_abi.FLUSH_CLEAN = libdnn_abi.FLUSH_INVALIDATE', 'endurance.soak_backend',
        '--inferences', '2000')
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1
    assert 'VIOLATION: WRONG: ' in output
