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

"""
Results in the order in which their frames were handed out, whichever worker is done first.

One frame that is late holds all back that come behind. So there is a window: no frame is handed
out that is too far ahead of the oldest unfinished one, and the results held back stay few.
"""

from __future__ import annotations

from collections import deque
import threading
import time
import traceback
from typing import Callable, Deque, Generic, List, Optional, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

_LATENCIES_KEPT = 4096


class UnfinishedError(Exception):
    """A frame whose worker failed in between."""


_UNFINISHED = UnfinishedError('its worker failed before it was done, for want of memory perhaps')


class Frame(Generic[Item, Result]):
    """
    A frame from its arrival to its end.

    :ivar arrival: in ns of the monotonic clock.
    :ivar item: what is to be worked on; None when that has begun.
    :ivar number: its place in the order, given when it is handed out.
    :ivar result: what came of it if ``error`` is None.
    """

    __slots__ = ('arrival', 'item', 'number', 'result', 'error')

    def __init__(self, arrival: int, item: Item) -> None:
        self.arrival = arrival
        self.item: Optional[Item] = item
        self.number = -1
        self.result: Optional[Result] = None
        self.error: Optional[Exception] = _UNFINISHED


class InOrderOutput(Generic[Item, Result]):
    """Let frames out in order; each is counted as published, failed or dropped."""

    def __init__(self, window: int, publish: Callable[[Result], None],
                 report: Callable[[Exception], None]) -> None:
        """
        Start with frame 0.

        :param window: frames under way or held back at most.
        """
        self._window = window
        self._publish = publish
        self._report = report
        self._lock = threading.Lock()
        # A place for each frame of the window: nothing that grows, and so nothing that can fail.
        self._held: List[Optional[Frame[Item, Result]]] = [None] * window
        self._oldest = 0
        self.published = 0
        self.failed = 0
        self.dropped = 0
        self.latencies: Deque[int] = deque(maxlen=_LATENCIES_KEPT)

    def has_place_for(self, number: int) -> bool:
        """Tell whether the window reaches as far as this frame."""
        return number - self._oldest < self._window

    def put(self, frame: Frame[Item, Result]) -> None:
        """Take a frame that is done; any number of times, should this fail in between."""
        with self._lock:
            if frame.number >= self._oldest:
                self._held[frame.number % self._window] = frame
            self._let_out()

    def fail(self, error: Exception) -> None:
        """Count and report a frame that has no place in the order."""
        with self._lock:
            self._count_failure(error)

    def report(self, error: Exception) -> None:
        """Report trouble that is no frame's."""
        with self._lock:
            self._tell(error)

    def give_up(self, number: int) -> None:
        """Wait no more for frames before this one; those that are missing count as dropped."""
        with self._lock:
            self._let_out()
            while self._oldest < number:
                self.dropped += 1
                self._oldest += 1
                self._let_out()

    def _let_out(self) -> None:
        while (frame := self._held[place := self._oldest % self._window]) is not None:
            following = self._oldest + 1
            try:
                self._finish(frame)
            finally:
                self._held[place] = None
                self._oldest = following

    def _finish(self, frame: Frame[Item, Result]) -> None:
        error = frame.error
        if error is None:
            try:
                # Only a missing error makes the result mandatory, which types cannot say.
                self._publish(frame.result)  # type: ignore[arg-type]
                self.published += 1
                self.latencies.append(time.monotonic_ns() - frame.arrival)
                return
            except Exception as publish_error:  # noqa: B902, a lost result must not end a worker
                error = publish_error
        self._count_failure(error)

    def _count_failure(self, error: Exception) -> None:
        self.failed += 1
        self._tell(error)

    def _tell(self, error: Exception) -> None:
        try:
            self._report(error)
        except Exception:  # noqa: B902, that this cannot be told must not stop what comes behind
            traceback.print_exc()
