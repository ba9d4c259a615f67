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

"""Repeated trouble, told once in a while instead of with each frame."""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict


def describe(error: BaseException) -> str:
    """Return an error's own words, or what it is if it has none, as a ``MemoryError``."""
    return str(error) or repr(error)


class ThrottledLog:
    """
    Pass the first message of a kind on at once, then at most one in a period, with a count.

    Safe to use from several threads.
    """

    def __init__(self, write: Callable[[str], object], period: float = 5.0,
                 clock: Callable[[], float] = time.monotonic) -> None:
        """
        Make a log.

        :param write: takes a line. A logger of rclpy refuses lines of another severity from a
            place that it knows, and this is one place: all logs of a node must be of one severity.
        :param period: seconds between two lines of a kind.
        """
        self._write = write
        self._period = period
        self._clock = clock
        self._lock = threading.Lock()
        self._last: Dict[str, float] = {}
        self._held_back: Dict[str, int] = {}

    def report(self, kind: str, message: str) -> None:
        """
        Tell of trouble.

        :param kind: what counts as the same trouble, whatever its message says.
        """
        with self._lock:
            now = self._clock()
            last = self._last.get(kind)
            if last is not None and now - last < self._period:
                self._held_back[kind] = self._held_back.get(kind, 0) + 1
                return
            held_back = self._held_back.pop(kind, 0)
            self._last[kind] = now
        if held_back and last is not None:
            message += f' (and {held_back} more like it in the last {now - last:.0f} s)'
        self._write(message)
