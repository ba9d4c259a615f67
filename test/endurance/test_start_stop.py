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

"""The node started and stopped a few times, with signals at moments drawn at random."""

from __future__ import annotations

import pytest
from support.fixture_types import StartPython

pytestmark = pytest.mark.faults


def test_twelve_nodes_stop_well_and_leave_nothing(start_python: StartPython) -> None:
    process = start_python('-m', 'endurance.start_stop', '--rounds', '12', '--most-seconds', '60')
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert output.endswith('all as it should be\n')
