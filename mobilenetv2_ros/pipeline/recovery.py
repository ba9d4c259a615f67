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
An engine that has failed again and again is closed and opened again, ever more seldom.

:class:`Recovery` counts failures in a row. When there are too many it starts a thread, which ends
the workers, reopens the engine and lets the workers on. A story begins with that and ends with
the first image that is classified again; in between each attempt waits longer than the one
before. Knows neither ROS nor what the engine is.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, NamedTuple, Optional

from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.guarded_thread import GuardedThread
from mobilenetv2_ros.throttled_log import describe

FAILURES_IN_A_ROW = 10
"""So many are no accident: neither a few lost inferences nor the tasks of one burst."""

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
"""Seconds between two attempts; what may help, such as a restarted service, takes seconds."""


class Steps(NamedTuple):
    """
    What a recovery does with the engine, in its own thread.

    :param suspend: returns when no worker uses the engine any more.
    :param reopen: closes the engine and opens it again; raises why that is not possible.
    :param resume: lets the workers use the reopened engine; raises why that is not possible.
    :param close: closes the engine, if nobody else will.
    """

    suspend: Callable[[], object]
    reopen: Callable[[], None]
    resume: Callable[[], None]
    close: Callable[[], None]


class Outage(NamedTuple):
    """
    A story that has not ended.

    :param since: when it began, like ``next_attempt`` in seconds of the monotonic clock.
    :param reason: what failed last.
    :param reopenings: attempts, the one under way included.
    :param next_attempt: None while an attempt is under way or after one that succeeded.
    :param is_open: the engine has been reopened, but no image has been classified yet.
    """

    since: float
    reason: str
    reopenings: int = 0
    next_attempt: Optional[float] = None
    is_open: bool = False

    def describe(self, now: float) -> str:
        """
        Tell it in one sentence.

        :param now: seconds of the monotonic clock.
        """
        if self.is_open:
            return (f'the engine was reopened ({self.reopenings} reopening(s)), no image has '
                    f'been classified since; it had failed: {self.reason}')
        progress = ('is being reopened' if self.next_attempt is None else
                    f'will be reopened in {max(0.0, self.next_attempt - now):.0f} s')
        return (f'the engine is down for {now - self.since:.0f} s and {progress}, '
                f'{self.reopenings} reopening(s) so far: {self.reason}')


class Backoff:
    """The pauses before attempts: none, then ever longer ones up to a limit."""

    def __init__(self) -> None:
        self._next = 0.0

    def take(self) -> float:
        """Return the seconds to wait before the next attempt."""
        pause = self._next
        self._next = min(LONGEST_PAUSE, max(FIRST_PAUSE, 2 * pause))
        return pause


class Recovery:
    """
    Watch over an engine until :meth:`stop`.

    From the start of its thread to the end of it the engine is the thread's alone; otherwise it
    is the workers' and whoever called :meth:`stop`. One lock guards the passing on.
    """

    def __init__(self, steps: Steps, cancel_token: CancelToken, warn: Callable[[str], object],
                 tell: Callable[[str], object], clock: Callable[[], float] = time.monotonic,
                 wait: Callable[[threading.Event, float], bool] = threading.Event.wait) -> None:
        """
        Start with an engine that works.

        :param cancel_token: cancelled while workers that wait for the engine are to give up.
        :param warn: takes a line when the engine goes down and when an attempt fails in a new
            way.
        :param tell: takes a line when it works again.
        :param wait: waits for an event so many seconds at most; returns whether it has happened.
        """
        self._steps = steps
        self._cancel_token = cancel_token
        self._warn = warn
        self._tell = tell
        self._clock = clock
        self._wait = wait
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._thread: Optional[threading.Thread] = None
        self._is_down = False
        self._is_abandoned = False
        self._failures = 0
        self._outage: Optional[Outage] = None
        self._backoff = Backoff()
        self.reopenings = 0
        """Attempts since this was made."""

    @property
    def outage(self) -> Optional[Outage]:
        """Return the story that has not ended, if there is one."""
        return self._outage

    def record_success(self) -> None:
        """Count an image that was classified; by one thread at a time, with the next one."""
        if self._failures or self._outage is not None:
            self._end_story()

    def record_failure(self, reason: str) -> None:
        """Count an image that the engine failed on."""
        self._failures += 1
        if self._failures >= FAILURES_IN_A_ROW:
            self._go_down(reason)

    def stop(self, patience: float) -> bool:
        """
        End the thread, if there is one.

        :param patience: seconds to wait for an attempt that is under way.
        :returns: whether the engine is the caller's, open or closed. It is not if the thread hangs
            in a call; then the thread closes the engine when that returns.
        """
        with self._lock:
            self._stopping.set()
            self._cancel_token.cancel()
            thread = self._thread
        if thread is not None:
            thread.join(patience)
        with self._lock:
            self._is_abandoned = self._is_down and thread is not None and thread.is_alive()
            return not self._is_abandoned

    def _end_story(self) -> None:
        with self._lock:
            if self._is_down:  # a straggler from before
                return
            outage, self._outage = self._outage, None
            self._failures = 0
            self._backoff = Backoff()
        if outage is not None:
            self._tell(f'the engine works again, after {self._clock() - outage.since:.0f} s and '
                       f'{outage.reopenings} reopening(s)')

    def _go_down(self, reason: str) -> None:
        with self._lock:
            if self._is_down or self._stopping.is_set():
                return
            before = self._outage
            thread = GuardedThread('reopening', self._run, lambda error: self._warn(str(error)))
            self._is_down = True
            self._cancel_token.cancel()
            self._outage = (
                Outage(self._clock(), reason) if before is None else
                before._replace(reason=reason, is_open=False))
            try:
                thread.start()
            except RuntimeError:  # the system has no more threads; the next failure tries again
                self._is_down = False
                self._cancel_token.clear()
                self._outage = before
                return
            self._thread = thread
        if before is None:
            self._warn(f'the engine failed {FAILURES_IN_A_ROW} times in a row and is reopened; '
                       f'images are dropped until it works: {reason}')

    def _run(self) -> None:
        self._steps.suspend()
        with self._lock:
            if not self._stopping.is_set():
                self._cancel_token.clear()
        while self._pause():
            if self._attempt():
                return
        with self._lock:
            self._is_down = False
            is_abandoned = self._is_abandoned
        if is_abandoned:
            self._steps.close()

    def _pause(self) -> bool:
        """Wait until the next attempt is due; returns whether it still is."""
        pause = self._backoff.take()
        if pause:
            self._change_outage(next_attempt=self._clock() + pause)
        return not self._wait(self._stopping, pause)

    def _attempt(self) -> bool:
        """Reopen the engine; returns whether the workers have it again."""
        outage = self._outage
        assert outage is not None
        self.reopenings += 1
        self._change_outage(next_attempt=None, reopenings=outage.reopenings + 1)
        try:
            self._steps.reopen()
            return self._pass_on()
        except Exception as error:  # noqa: B902, whatever it is, the next attempt may succeed
            reason = describe(error)
            if reason != outage.reason and not self._stopping.is_set():
                self._warn(f'the engine cannot be reopened: {reason}')
            self._change_outage(reason=reason)
            return False

    def _pass_on(self) -> bool:
        """Let the workers on unless whoever called :meth:`stop` gets the engine."""
        with self._lock:
            assert self._outage is not None
            if self._stopping.is_set():
                return False
            outage = self._outage._replace(is_open=True)
            self._steps.resume()
            # From here on nothing needs memory: an attempt that failed would close the engine.
            self._outage = outage
            self._failures = 0
            self._is_down = False
            return True

    def _change_outage(self, **changes: object) -> None:
        with self._lock:
            assert self._outage is not None
            self._outage = self._outage._replace(**changes)  # type: ignore[arg-type]
