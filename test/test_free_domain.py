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

import socket

from mobilenetv2_ros.tools import free_domain
from mobilenetv2_ros.tools.free_domain import find_free_domain, NoFreeDomainError
import pytest


def test_two_calls_find_two_domains() -> None:
    first, second = find_free_domain(), find_free_domain()
    assert first != second
    assert all(1 <= domain <= 100 for domain in (first, second))


def test_a_domain_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = find_free_domain()
    monkeypatch.setattr(free_domain, '_turns', iter([domain - 1, domain]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7410 + 250 * domain))
        assert find_free_domain() == 1 + domain % 100


def test_no_free_domain_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    domain = find_free_domain()
    monkeypatch.setattr(free_domain, '_turns', iter([domain - 1]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as participant:
        participant.bind(('', 7410 + 250 * domain))
        with pytest.raises(NoFreeDomainError, match='all in use on this machine; end some'):
            find_free_domain()
