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
The life of a frame between its arrival and its result.

    put() -> newest-frame queue -> worker 1..N -> in-order output -> publish()

The thread that receives frames puts them into the queue, which drops the oldest one when it is
full. Each worker takes the next frame, works on it alone, and hands its result to the output,
which lets results out in the order in which the workers took the frames: one that is late is
waited for, and nothing overtakes it. Every frame ends as published, dropped or failed, and is
counted as that.

Frames that come one by one need no queue: :meth:`Pipeline.process` then does a worker's work in
the thread that has just received the frame. Waking another one, on another core, would cost time
and win none. Knows neither ROS nor pictures.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
import threading
import time
import traceback
from typing import (
    Callable, Deque, Dict, Generic, List, NamedTuple, Optional, Sequence, Tuple, TypeVar)

Item = TypeVar('Item')
Result = TypeVar('Result')

_LATENCIES_KEPT = 4096

_CALM = 2
"""Frames come one by one if there is room for so many between two of them."""


class Counters(NamedTuple):
    """
    How many frames have come how far since the pipeline was made.

    :param dropped: for a newer one, or left in the queue at the end.
    :param waiting: in the queue now.
    :param last_arrival: of a frame, in seconds of the monotonic clock; None before the first one.
    :param held_up_since: when :meth:`Pipeline.process` began with a frame that it still works on,
        so that no other arrives; None if there is none.
    """

    received: int
    dropped: int
    failed: int
    published: int
    waiting: int
    last_arrival: Optional[float]
    held_up_since: Optional[float] = None

    def since(self, earlier: Counters) -> Counters:
        """Return what has been counted since then."""
        return self._replace(
            received=self.received - earlier.received, dropped=self.dropped - earlier.dropped,
            failed=self.failed - earlier.failed, published=self.published - earlier.published)


@dataclass
class _Frame(Generic[Item]):
    """A frame with its place in the order and the time of its arrival, in monotonic ns."""

    order: int
    arrival: int
    item: Item


class _Turn(Generic[Item, Result]):
    """What an idle worker waits for: its next frame, or None for the end."""

    def __init__(self, work: Callable[[Item], Result]) -> None:
        self.work = work
        self._given = threading.Lock()
        self._given.acquire()
        self._frame: Optional[_Frame[Item]] = None

    def give(self, frame: Optional[_Frame[Item]]) -> None:
        self._frame = frame
        self._given.release()

    def wait(self) -> Optional[_Frame[Item]]:
        self._given.acquire()
        return self._frame


class _NewestFrameQueue(Generic[Item, Result]):
    """
    A bounded queue that makes room by dropping its oldest frame.

    A frame goes to the worker that was idle last: what it works with is still in the caches.
    """

    def __init__(self, workers: int) -> None:
        self._items: Deque[Tuple[int, Item]] = deque()
        self._workers = workers
        self._lock = threading.Lock()
        self._idle: List[_Turn[Item, Result]] = []
        self._closed = False
        self._taken = 0
        self.duration = 0
        """Nanoseconds that the last frame was worked on."""
        self.received = 0
        self.dropped = 0
        self.last_arrival: Optional[int] = None

    def put(self, item: Item) -> bool:
        arrival = time.monotonic_ns()
        with self._lock:
            self._count(arrival)
            if self._closed:
                self.dropped += 1
                return True
            if self._idle:
                self._idle.pop().give(self._number(arrival, item))
                return False
            is_full = len(self._items) == self._workers
            if is_full:
                self._items.popleft()
                self.dropped += 1
            self._items.append((arrival, item))
            return is_full

    def count_arrival(self) -> None:
        """Count a frame that came but could not be put."""
        with self._lock:
            self._count(time.monotonic_ns())

    def borrow(self, item: Item) -> Optional[Tuple[_Turn[Item, Result], _Frame[Item]]]:
        """
        Count a frame and keep an idle worker from others, so that its work can be done for it.

        :returns: None, and nothing has been done, unless frames come one by one.
        """
        arrival = time.monotonic_ns()
        with self._lock:
            if (self._closed or len(self._idle) < self._workers or self.last_arrival is None
                    or arrival - self.last_arrival < _CALM * self.duration):
                return None
            self._count(arrival)
            return self._idle.pop(), self._number(arrival, item)

    def offer(self, turn: _Turn[Item, Result]) -> None:
        """Give a worker what waits, or keep it among the idle ones."""
        with self._lock:
            if self._closed:
                turn.give(None)
            elif self._items:
                turn.give(self._number(*self._items.popleft()))
            else:
                self._idle.append(turn)

    def get(self, turn: _Turn[Item, Result]) -> Optional[_Frame[Item]]:
        """Wait for the next frame; None when the queue has been closed."""
        self.offer(turn)
        return turn.wait()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self.dropped += len(self._items)
            self._items.clear()
            while self._idle:
                self._idle.pop().give(None)

    def open(self) -> None:  # noqa: A003
        with self._lock:
            self._closed = False

    def __len__(self) -> int:
        return len(self._items)

    def _count(self, arrival: int) -> None:
        self.received += 1
        self.last_arrival = arrival

    def _number(self, arrival: int, item: Item) -> _Frame[Item]:
        order = self._taken
        self._taken += 1
        return _Frame(order, arrival, item)


@dataclass
class _Outcome(Generic[Result]):
    """The result of a frame or, in its place, what went wrong."""

    arrival: int
    result: Optional[Result]
    error: Optional[Exception]


class _InOrderOutput(Generic[Result]):
    """Let outcomes out in order, whichever worker is done first."""

    def __init__(self, publish: Callable[[Result], None],
                 report: Callable[[Exception], None]) -> None:
        self._publish = publish
        self._report = report
        self._lock = threading.Lock()
        self._early: Dict[int, _Outcome[Result]] = {}
        self._next = 0
        self.published = 0
        self.failed = 0
        self.latencies: Deque[int] = deque(maxlen=_LATENCIES_KEPT)

    def put(self, order: int, outcome: _Outcome[Result]) -> None:
        with self._lock:
            self._early[order] = outcome
            while self._next in self._early:
                outcome = self._early.pop(self._next)
                self._next += 1
                self._let_out(outcome)

    def fail(self, error: Exception) -> None:
        with self._lock:
            self._count_failure(error)

    def _let_out(self, outcome: _Outcome[Result]) -> None:
        error = outcome.error
        if error is None:
            try:
                # Only a missing error makes the result mandatory, which types cannot say.
                self._publish(outcome.result)  # type: ignore[arg-type]
                self.published += 1
                self.latencies.append(time.monotonic_ns() - outcome.arrival)
                return
            except Exception as publish_error:  # noqa: B902, a lost result must not end a worker
                error = publish_error
        self._count_failure(error)

    def _count_failure(self, error: Exception) -> None:
        self.failed += 1
        try:
            self._report(error)
        except Exception:  # noqa: B902, that this cannot be told must not stop what comes behind
            traceback.print_exc()


class Pipeline(Generic[Item, Result]):
    """Workers between a newest-frame queue and an in-order output."""

    def __init__(self, work: Sequence[Callable[[Item], Result]],
                 publish: Callable[[Result], None],
                 report: Callable[[Exception], None]) -> None:
        """
        Start the workers.

        :param work: what each worker does with an item, one callable for each thread. As many
            frames wait at most as there are workers.
        :param publish: called with each result, in order, by one thread at a time.
        :param report: called in the same way with the exception of each frame that failed.
        :raises RuntimeError: the system has no threads for the workers.
        """
        self._queue: _NewestFrameQueue[Item, Result] = _NewestFrameQueue(len(work))
        self._output: _InOrderOutput[Result] = _InOrderOutput(publish, report)
        self._held_up_since: Optional[float] = None
        self._start(work)

    def put(self, item: Item) -> bool:
        """
        Add a frame.

        :returns: at once, and whether a frame had to be dropped for it.
        """
        return self._queue.put(item)

    def process(self, item: Item) -> bool:
        """
        Work on a frame in the calling thread if frames come one by one, else :meth:`put` it.

        :returns: as :meth:`put`.
        """
        borrowed = self._queue.borrow(item)
        if borrowed is None:
            return self._queue.put(item)
        turn, frame = borrowed
        self._held_up_since = frame.arrival * 1e-9
        try:
            self._finish(turn.work, frame)
        finally:
            self._held_up_since = None
            self._queue.offer(turn)
        return False

    def fail(self, error: Exception) -> None:
        """Count and report a frame that failed before it could be put, whatever its place."""
        self._queue.count_arrival()
        self._output.fail(error)

    def stop(self) -> None:
        """
        Drop the frames that wait, let the ones under way finish and end the workers.

        A frame in :meth:`process` is waited for too: its worker ends when it has been given back.
        """
        self._queue.close()
        for thread in self._threads:
            thread.join()

    def resume(self, work: Sequence[Callable[[Item], Result]]) -> None:
        """
        Go on after :meth:`stop`; the frames that came meanwhile have been dropped.

        :param work: as at the start, for as many workers.
        :raises RuntimeError: the system has no threads for them; it is stopped as before.
        """
        self._queue.open()
        self._start(work)

    @property
    def counters(self) -> Counters:
        """The counters now; each is exact, their sum may miss a frame that is under way."""
        queue, output = self._queue, self._output
        arrival = queue.last_arrival
        return Counters(
            queue.received, queue.dropped, output.failed, output.published, len(queue),
            None if arrival is None else arrival * 1e-9, self._held_up_since)

    def take_latencies(self) -> List[float]:
        """Return the times from arrival to result, in seconds, since this was last called."""
        latencies = self._output.latencies
        return [latencies.popleft() * 1e-9 for _ in range(len(latencies))]

    def _start(self, work: Sequence[Callable[[Item], Result]]) -> None:
        self._threads: List[threading.Thread] = []
        try:
            for number, one in enumerate(work):
                thread = threading.Thread(
                    target=self._run, args=(one,), name=f'worker_{number}', daemon=True)
                thread.start()
                self._threads.append(thread)
        except RuntimeError:  # the system has no more threads
            self.stop()
            raise

    def _run(self, work: Callable[[Item], Result]) -> None:
        turn = _Turn(work)
        while (frame := self._queue.get(turn)) is not None:
            self._finish(work, frame)

    def _finish(self, work: Callable[[Item], Result], frame: _Frame[Item]) -> None:
        began = time.monotonic_ns()
        outcome = _attempt(work, frame)
        self._queue.duration = time.monotonic_ns() - began
        self._output.put(frame.order, outcome)


def _attempt(work: Callable[[Item], Result], frame: _Frame[Item]) -> _Outcome[Result]:
    try:
        return _Outcome(frame.arrival, work(frame.item), None)
    except Exception as error:  # noqa: B902, whatever a frame does, the worker lives on
        return _Outcome(frame.arrival, None, error)
