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

"""Trouble is told at once, then seldom, and nothing is forgotten."""

from __future__ import annotations

import threading
from typing import List

from mobilenetv2_ros.throttled_log import ThrottledLog
import pytest


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_first_at_once_then_one_in_a_period_with_a_count(clock: Clock) -> None:
    lines: List[str] = []
    log = ThrottledLog(lines.append, period=5.0, clock=clock)
    for message in ('a', 'b', 'c'):
        log.report('kind', message)
    assert lines == ['a']
    clock.now += 4.9
    log.report('kind', 'd')
    assert lines == ['a']
    clock.now += 0.1
    log.report('kind', 'e')
    assert lines == ['a', 'e (and 3 more like it in the last 5 s)']
    clock.now += 7
    log.report('kind', 'f')
    assert lines[2:] == ['f']


def test_kinds_do_not_hide_each_other(clock: Clock) -> None:
    lines: List[str] = []
    log = ThrottledLog(lines.append, clock=clock)
    for kind in ('one', 'two', 'one', 'two'):
        log.report(kind, kind)
    assert lines == ['one', 'two']


def test_clock_that_starts_at_zero(clock: Clock) -> None:
    lines: List[str] = []
    clock.now = 0.0
    log = ThrottledLog(lines.append, period=5.0, clock=clock)
    log.report('kind', 'a')
    log.report('kind', 'b')
    clock.now = 6.0
    log.report('kind', 'c')
    assert lines == ['a', 'c (and 1 more like it in the last 6 s)']


def test_threads_lose_nothing(clock: Clock) -> None:
    lines: List[str] = []
    log = ThrottledLog(lines.append, period=5.0, clock=clock)

    def report_often() -> None:
        for _ in range(500):
            log.report('kind', 'x')

    threads = [threading.Thread(target=report_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    clock.now += 5
    log.report('kind', 'last')
    assert lines == ['x', 'last (and 1999 more like it in the last 5 s)']
