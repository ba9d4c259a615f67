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
Threads that nobody has to watch: what ends one before its time is told, and it begins anew.

A thread of :mod:`threading` that fails prints a traceback and is gone; a node that has lost one so
looks alive and does nothing. The body of a guarded thread keeps what it must not forget outside of
itself, so that it can be called again.
"""

from __future__ import annotations

import threading
import time
import traceback
from typing import Callable

from mobilenetv2_ros.throttled_log import describe

_MIN_PAUSE = 0.01
_MAX_PAUSE = 1.0
"""Seconds before a body is called again; longer each time, since a cause may last."""

_SOUND = 10.0
"""Seconds of a body that works after which its next failure has another cause."""


class ThreadFailure(Exception):
    """The body of a thread failed and is called again; the text says which one and why."""


class GuardedThread(threading.Thread):
    """A daemon thread that ends when its body returns, and only then."""

    def __init__(self, name: str, body: Callable[[], object],
                 report: Callable[[ThreadFailure], object]) -> None:
        """
        Make a thread; ``start()`` starts it.

        :param body: called again whenever it raises.
        :param report: takes each failure, in the thread itself.
        """
        super().__init__(name=name, daemon=True)
        self._body = body
        self._report = report

    def run(self) -> None:
        """Call the body until it returns; what it held is let go then."""
        try:
            self._run_on()
        finally:
            del self._body, self._report

    def _run_on(self) -> None:
        pause = _MIN_PAUSE
        while True:
            began = time.monotonic()
            try:
                self._body()
                return
            except BaseException as error:  # noqa: B902, also what is to end a thread
                self._tell(error)
            if time.monotonic() - began > _SOUND:
                pause = _MIN_PAUSE
            time.sleep(pause)
            pause = min(_MAX_PAUSE, 2 * pause)

    def _tell(self, error: BaseException) -> None:
        try:
            traceback.print_exc()  # nothing a user did: whoever mends it needs the place
            self._report(ThreadFailure(
                f"the thread '{self.name}' failed and goes on: {describe(error)}"))
        except Exception:  # noqa: B902, that it cannot be told must not end the thread
            pass
