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

"""What a program's environment will make trouble with, told at its start."""

from __future__ import annotations

import os
from typing import Dict

from mobilenetv2_ros.environment import advise_on_security, find_problems
import pytest


@pytest.mark.parametrize('environment, words', [
    ({}, ''),
    ({'ROS_SECURITY_ENABLE': 'false'}, ''),
    ({'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'Enforce'}, ''),
    ({'ROS_SECURITY_ENABLE': '1'}, "'1', which ROS takes for off"),
    ({'ROS_SECURITY_ENABLE': 'TRUE', 'ROS_SECURITY_STRATEGY': 'Enforce'}, "set it to 'true'"),
    ({'ROS_SECURITY_ENABLE': 'true'}, "STRATEGY is '', so a node without keys"),
    ({'ROS_SECURITY_ENABLE': 'true', 'ROS_SECURITY_STRATEGY': 'enforce'}, "to 'Enforce'")])
def test_security_that_is_not_in_force(environment: Dict[str, str], words: str) -> None:
    problems = list(find_problems(environment))
    assert len(problems) == bool(words) and all(words in problem for problem in problems)


@pytest.mark.parametrize('variable', [
    'FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE'])
@pytest.mark.parametrize('megabytes, is_told', [(64, True), (1024, False)])
def test_shared_memory_that_is_too_small(
        monkeypatch: pytest.MonkeyPatch, variable: str, megabytes: int, is_told: bool) -> None:
    """A container has 64 MB by default, less than a camera's segment."""
    values = (4096, 4096, megabytes << 8, megabytes << 8, megabytes << 8, 0, 0, 0, 0, 255)
    monkeypatch.setattr(os, 'statvfs', lambda path: os.statvfs_result(values))
    problems = list(find_problems({variable: '/opt/config/fastdds_classifier.xml'}))
    assert len(problems) == is_told
    assert all('64 MB' in problem and '--shm-size' in problem for problem in problems)
    assert not list(find_problems({variable: '/opt/config/a_profile_of_mine.xml'}))


def test_advice_where_security_is_on_only() -> None:
    assert advise_on_security({}) == advise_on_security({'ROS_SECURITY_ENABLE': '1'}) == ''
    assert 'enclave' in advise_on_security({'ROS_SECURITY_ENABLE': 'true'})
