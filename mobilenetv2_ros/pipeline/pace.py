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

"""Which frames are let through when only so many a second are wanted."""

from __future__ import annotations


_EARLY = 4
"""A frame may come so much of a period before the tick, as a divisor."""

_LONGEST = 1e18
"""Nanoseconds of a period, 30 years; that of the smallest rates is infinite."""


class Pace:
    """
    Let the first frame through that comes at each tick; by one thread.

    A frame that has just come is newer than the newest one of the time before the tick. One that
    is a little early is taken too, or a camera of just that rate would lose frames by jitter.
    """

    def __init__(self) -> None:
        """Let all through."""
        self.period = 0
        """Nanoseconds from tick to tick; 0 if there is none."""
        self._next_tick = 0

    def set_rate(self, rate: float) -> None:
        """
        Change the number of frames, if it is another one; by any thread.

        :param rate: frames per second at most, 0 for all.
        """
        period = round(min(1e9 / rate, _LONGEST)) if rate else 0
        if period != self.period:
            self.period = period
            self._next_tick = 0

    def lets_through(self, now: int) -> bool:
        """
        Tell whether a frame is wanted.

        :param now: in ns of the monotonic clock.
        """
        if now < self._next_tick - self.period // _EARLY:
            return False
        # From tick to tick, or what is early or late would change the rate; but what was missed is
        # not made up for.
        following = self._next_tick + self.period
        self._next_tick = following if following > now else now + self.period
        return True
