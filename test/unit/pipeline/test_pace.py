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

"""Which frames are wanted at a rate, and what becomes of the others."""

from __future__ import annotations

from typing import List

from mobilenetv2_ros.pipeline.pace import Pace
from mobilenetv2_ros.pipeline.pipeline import Pipeline
import pytest

MS = 1_000_000


def count(rate: float, camera_period: float, jitter: List[float]) -> int:
    """Count the frames of ten seconds that are let through; times in ms."""
    pace = Pace()
    pace.set_rate(rate)
    times = [round((number * camera_period + jitter[number % len(jitter)]) * MS)
             for number in range(1, round(10_000 / camera_period) + 1)]
    return sum(pace.lets_through(time) for time in times)


@pytest.mark.parametrize('rate, camera_period, jitter, expected', [
    (10.0, 100 / 3, [0.0], 100), (10.0, 100 / 3, [0.3, -0.3], 100), (5.0, 1.0, [0.0], 50),
    (29.0, 100 / 3, [0.0], 290), (30.0, 100 / 3, [0.3, -0.3], 300), (60.0, 100 / 3, [0.0], 300),
    (0.5, 100 / 3, [0.0], 5)])
def test_as_many_as_wanted_or_as_come(
        rate: float, camera_period: float, jitter: List[float], expected: int) -> None:
    assert abs(count(rate, camera_period, jitter) - expected) <= 1


def test_what_was_missed_is_not_made_up_for() -> None:
    pace = Pace()
    pace.set_rate(10)
    assert pace.lets_through(1_000 * MS)
    passed = [pace.lets_through(time * MS) for time in range(9_000, 9_070)]
    assert sum(passed) == 1


def test_the_same_rate_again_lets_nothing_through() -> None:
    pace = Pace()
    pace.set_rate(1)
    assert pace.lets_through(1_000 * MS)
    pace.set_rate(1)  # as with any change of parameters
    assert not pace.lets_through(1_001 * MS)


def test_a_new_rate_counts_at_once() -> None:
    pace = Pace()
    pace.set_rate(0.001)
    assert pace.lets_through(MS) and not pace.lets_through(2 * MS)
    pace.set_rate(10)
    assert pace.lets_through(3 * MS)
    pace.set_rate(0)
    assert pace.period == 0
    pace.set_rate(1e-300)
    assert pace.lets_through(4 * MS) and not pace.lets_through(5_000 * MS)


@pytest.mark.parametrize('way', ['put', 'process'])
def test_what_is_skipped_is_neither_prepared_nor_dropped(way: str) -> None:
    prepared: List[int] = []
    pipeline: Pipeline[int, int, int] = Pipeline(
        lambda item: prepared.append(item) or item,  # type: ignore[func-returns-value]
        [lambda item: item], lambda result: None, lambda error: None)
    pipeline.pace.set_rate(0.001)
    assert [getattr(pipeline, way)(number) for number in range(5)] == [False] + 4 * [True]
    pipeline.stop()
    counters = pipeline.counters
    assert (counters.received, counters.skipped) == (5, 4)
    assert counters.dropped + counters.published == 1
    assert prepared in ([], [0])
    assert counters.since(counters).skipped == 0
