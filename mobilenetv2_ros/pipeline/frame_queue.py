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
A bounded queue of frames that makes room by dropping its oldest one.

How a frame is handed over, here to a worker that waits for it:

.. code-block:: text

    receiver                    queue                          worker
    ────────                    ─────                          ──────
                                turn is idle  ◄──────────────  wait(turn):
    put(item) ────────────────► frame gets its number          sleeps in given.acquire()
                                turn.frame = frame
                                turn.given.release() ────────► works on turn.frame,
                                                               hands it to the output,
                                                               turn.frame = None
                                turn gets what waits, or       wait(turn)
                                is idle again ◄──────────────

What a worker does next thus stands in its turn and not in the worker: a thread that fails at any
point, for want of memory for example, begins anew and finds its frame there. For the same reason
memory is taken before anything is changed.

When frames come one by one the receiver borrows the turn of an idle worker, works on the frame
itself and offers the turn again. The worker sleeps on meanwhile. Should the receiver fail it wakes
the worker, which ends what was begun.
"""

from __future__ import annotations

from collections import deque
import threading
import time
from typing import Callable, Deque, Generic, List, Optional, TypeVar

from mobilenetv2_ros.pipeline.in_order_output import Frame, InOrderOutput

Item = TypeVar('Item')
Prepared = TypeVar('Prepared')
Result = TypeVar('Result')

_CALM = 2
"""Frames come one by one if there is room for so many between two of them."""

_MAX_BORROWED = 20_000_000
"""Nanoseconds of work for which a worker is not woken; beside more, waking it costs nothing."""


class Turn(Generic[Item, Prepared, Result]):
    """
    What one worker works with, and on.

    :ivar work: its own part of the work.
    :ivar frame: under way, or None.
    :ivar began: when that was, in ns of the monotonic clock.
    :ivar is_working: ``work`` may be in use.
    :ivar is_over: the worker is to end.
    """

    def __init__(self, work: Callable[[Prepared], Result]) -> None:
        self.work = work
        self.given = threading.Lock()
        self.given.acquire()
        self.frame: Optional[Frame[Item, Result]] = None
        self.began = 0
        self.is_working = False
        self.is_over = False

    def wake(self) -> None:
        """Let the worker look at its turn, whatever it is doing."""
        try:
            self.given.release()
        except RuntimeError:
            pass


class NewestFrameQueue(Generic[Item, Prepared, Result]):
    """
    Hand out frames to idle workers, and keep as many as there are workers waiting.

    A frame goes to the worker that was idle last: what it works with is still in the caches. None
    is handed out that the output has no place for, see :class:`.InOrderOutput`.
    """

    def __init__(self, workers: int, output: InOrderOutput[Item, Result]) -> None:
        self._frames: Deque[Frame[Item, Result]] = deque()
        self._workers = workers
        self._output = output
        self._lock = threading.Lock()
        self._idle: List[Turn[Item, Prepared, Result]] = []
        self._closed = False
        self._takes_frames = False
        self.handed_out = 0
        """Frames that have been given to workers; the number of the next one."""
        self.duration = 0
        """Nanoseconds that the last frame was worked on."""
        self.received = 0
        self.dropped = 0
        self.skipped = 0
        self.last_arrival: Optional[int] = None

    def put(self, item: Item) -> bool:
        """Add a frame; returns whether another one had to be dropped for it."""
        frame: Frame[Item, Result] = Frame(time.monotonic_ns(), item)
        with self._lock:
            self._count(frame.arrival)
            if not self._takes_frames:
                self.dropped += 1
                return True
            is_full = len(self._frames) == self._workers
            if is_full:
                self.dropped += 1
                self._frames.popleft()
            self._frames.append(frame)
            self._hand_out()
            return is_full

    def count_arrival(self) -> None:
        """Count a frame that came but could not be put."""
        with self._lock:
            self._count(time.monotonic_ns())

    def count_skipped(self, arrival: int) -> None:
        """Count a frame that came and is not wanted."""
        with self._lock:
            self._count(arrival)
            self.skipped += 1

    def borrow(self, item: Item) -> Optional[Turn[Item, Prepared, Result]]:
        """
        Count a frame and keep an idle worker from others, so that its work can be done for it.

        :returns: its turn, with the frame; or None, and nothing has been done, unless frames come
            one by one and take little time.
        """
        arrival = time.monotonic_ns()
        with self._lock:
            if (not self._takes_frames or len(self._idle) < self._workers
                    or self.last_arrival is None
                    or self.duration > _MAX_BORROWED
                    or arrival - self.last_arrival < _CALM * self.duration):
                return None
            frame: Frame[Item, Result] = Frame(arrival, item)
            following = self.handed_out + 1
            self._count(arrival)
            turn = self._idle.pop()
            frame.number = self.handed_out
            turn.frame = frame
            self.handed_out = following
            return turn

    def wait(self, turn: Turn[Item, Prepared, Result]) -> None:
        """Wait until a turn has a frame or is over."""
        self.offer(turn)
        turn.given.acquire()

    def offer(self, turn: Turn[Item, Prepared, Result]) -> None:
        """Give a turn what waits, or keep it among the idle ones; any number of times."""
        with self._lock:
            if turn.frame is None and turn not in self._idle:
                if self._closed or turn.is_over:
                    turn.is_over = True
                    turn.wake()
                    return
                self._idle.append(turn)
            if self._frames:
                self._hand_out()

    def close(self) -> None:
        """Drop what waits and end the turns, each when it is idle."""
        with self._lock:
            self._closed = True
            self._takes_frames = False
            self.dropped += len(self._frames)
            self._frames.clear()
            while self._idle:
                turn = self._idle.pop()
                turn.is_over = True
                turn.wake()

    def open(self) -> None:  # noqa: A003
        """Keep other turns; frames are dropped until :meth:`take_frames`."""
        with self._lock:
            self._closed = False

    def take_frames(self) -> None:
        """Take frames from now on: all the turns that there will be have their workers."""
        with self._lock:
            self._takes_frames = True

    def __len__(self) -> int:
        return len(self._frames)

    def _count(self, arrival: int) -> None:
        self.received += 1
        self.last_arrival = arrival

    def _hand_out(self) -> None:
        while self._frames and self._idle and self._output.has_place_for(self.handed_out):
            following = self.handed_out + 1
            # From here on nothing needs memory, so all of it happens or nothing.
            frame = self._frames.popleft()
            turn = self._idle.pop()
            frame.number = self.handed_out
            turn.frame = frame
            self.handed_out = following
            try:
                turn.given.release()
            except RuntimeError:  # awake already, see wake()
                pass
