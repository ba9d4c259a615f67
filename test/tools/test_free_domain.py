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

"""ROS domains that are chosen because nobody uses them."""

from __future__ import annotations

import itertools
import socket
from typing import Dict

from mobilenetv2_ros.tools import free_domain
from mobilenetv2_ros.tools.free_domain import (
    find_free_domain, localhost_environment, NoFreeDomainError)
import pytest


def test_two_calls_find_two_domains() -> None:
    first, second = find_free_domain(), find_free_domain()
    assert first != second
    assert all(1 <= domain <= 100 for domain in (first, second))


def look_again(patch: pytest.MonkeyPatch, domain: int) -> int:
    """Look for a free domain, at this one first."""
    patch.setattr(free_domain, '_turns', itertools.count(domain - 1))
    return find_free_domain()


@pytest.mark.parametrize('number', [0, 1, 118])
def test_a_domain_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whichever participant is left in it."""
    domain = find_free_domain()
    free_domain._taken.pop().close()  # as if it had been found by nobody
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7410 + 250 * domain + 2 * number))
        assert look_again(monkeypatch, domain) != domain


def test_a_domain_that_another_process_has_just_found_is_passed_over(
        monkeypatch: pytest.MonkeyPatch) -> None:
    """Its nodes take a second to be there."""
    domain = find_free_domain()
    assert look_again(monkeypatch, domain) != domain


def test_no_free_domain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = find_free_domain()
    free_domain._taken.pop().close()
    monkeypatch.setattr(free_domain, '_turns', iter([domain - 1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7410 + 250 * domain))
        with pytest.raises(NoFreeDomainError, match='all in use on this machine; end some'):
            find_free_domain()


@pytest.mark.parametrize('distribution, expected', [
    ('humble', {'ROS_LOCALHOST_ONLY': '1'}),
    ('jazzy', {'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST'})])
def test_humble_stays_on_this_machine_by_another_variable(
        monkeypatch: pytest.MonkeyPatch, distribution: str, expected: Dict[str, str]) -> None:
    monkeypatch.setenv('ROS_DISTRO', distribution)
    assert localhost_environment() == expected
