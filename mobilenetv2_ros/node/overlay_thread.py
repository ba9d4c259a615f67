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


"""The thread that draws overlays, beside the classification and never in its way."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Optional

from mobilenetv2_ros.guarded_thread import GuardedThread

_PERIOD = 1 / 15
"""Seconds between two overlays; people see no more, and the workers need the processor."""


class OverlayThread:
    """Draw the newest image, in a thread of low priority."""

    def __init__(self, draw: Callable[[Any], None],
                 report: Callable[[Exception], None]) -> None:
        """
        Start the thread.

        :param draw: takes what was offered last.
        :param report: takes what ``draw`` raises, or what ails the thread.
        """
        self._draw = draw
        self._report = report
        self._newest: Optional[Any] = None
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = GuardedThread('overlay', self._run, report)
        self._thread.start()

    def offer(self, item: Any) -> None:
        """Take an item; returns at once."""
        with self._changed:
            self._newest = item
            self._changed.notify()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        # On Linux a nice value belongs to a thread. Relative: no thread may become less nice.
        os.nice(10)
        while (item := self._take()) is not None:
            try:
                self._draw(item)
            except Exception as error:  # noqa: B902, one bad image must not end the thread
                self._report(error)
            del item  # an image of many megabytes
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, _PERIOD)

    def _take(self) -> Optional[Any]:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._newest is not None)
            item, self._newest = self._newest, None
            return None if self._stopped else item
