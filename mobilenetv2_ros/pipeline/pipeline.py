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

    put() -> newest-frame queue -> worker 1..N: prepare, work -> in-order output -> publish()

The thread that receives frames puts them into the queue, which drops the oldest one when it is
full. Each worker takes the next frame, works on it alone, and hands its result to the output,
which lets results out in the order in which the workers took the frames: one that is late is
waited for, and nothing overtakes it. Every frame ends as published, dropped, failed or skipped,
and is counted as that.

A worker's way has two parts. What prepares a frame is the same for all and owns nothing: whoever
stops the pipeline need not wait for it. What works on it uses what belongs to the worker, such as
memory of an engine, which must not be freed or used by others before that is done.

Frames that come one by one need no queue: :meth:`Pipeline.process` then does a worker's work in
the thread that has just received the frame. Waking another one, on another core, would cost time
and win none. Knows neither ROS nor images.
"""

from __future__ import annotations

import threading
import time
from typing import Callable, Generic, Iterable, List, NamedTuple, Optional, Sequence, TypeVar

from mobilenetv2_ros.guarded_thread import GuardedThread
from mobilenetv2_ros.pipeline.frame_queue import NewestFrameQueue, Turn
from mobilenetv2_ros.pipeline.in_order_output import Frame, InOrderOutput
from mobilenetv2_ros.pipeline.pace import Pace

Item = TypeVar('Item')
Prepared = TypeVar('Prepared')
Result = TypeVar('Result')

_WINDOW = 4
"""Frames under way or held back, for each worker: enough to bridge one that takes longer."""

_TIDY = 0.5
"""Seconds that :meth:`Pipeline.stop` waits for frames that it could leave behind."""

_MIN_PATIENCE = 1.0


class HeldUp(NamedTuple):
    """
    The oldest frame under way.

    :param since: when it was begun, in seconds of the monotonic clock.
    :param is_prepared: a worker's own part of the work has begun.
    """

    since: float
    is_prepared: bool


class Counters(NamedTuple):
    """
    How many frames have come how far since the pipeline was made.

    :param dropped: for a newer one, or left behind by a stop.
    :param skipped: since no more than :attr:`Pipeline.pace` allows are wanted.
    :param waiting: in the queue now.
    :param last_arrival: of a frame, in seconds of the monotonic clock; None before the first one.
    :param held_up: None if no frame is under way.
    """

    received: int
    dropped: int
    failed: int
    published: int
    waiting: int
    last_arrival: Optional[float]
    held_up: Optional[HeldUp] = None
    skipped: int = 0

    def since(self, earlier: Counters) -> Counters:
        """Return what has been counted since then."""
        return self._replace(
            received=self.received - earlier.received, dropped=self.dropped - earlier.dropped,
            failed=self.failed - earlier.failed, published=self.published - earlier.published,
            skipped=self.skipped - earlier.skipped)


class _Worker(Generic[Item, Prepared, Result], GuardedThread):
    """A thread and its turn."""

    def __init__(self, number: int, turn: Turn[Item, Prepared, Result],
                 run: Callable[[Turn[Item, Prepared, Result]], None],
                 report: Callable[[Exception], None]) -> None:
        super().__init__(f'worker_{number}', lambda: run(turn), report)
        self.turn = turn


class Pipeline(Generic[Item, Prepared, Result]):
    """Workers between a newest-frame queue and an in-order output."""

    def __init__(self, prepare: Callable[[Item], Prepared],
                 work: Sequence[Callable[[Prepared], Result]],
                 publish: Callable[[Result], None],
                 report: Callable[[Exception], None]) -> None:
        """
        Start the workers.

        :param prepare: what is done with an item first, by all workers and at the same time.
        :param work: what each worker does then, one callable for each thread. As many frames wait
            at most as there are workers.
        :param publish: called with each result, in order, by one thread at a time.
        :param report: called in the same way with the exception of each frame that failed, and
            with that of a worker.
        :raises RuntimeError: the system has no threads for the workers.
        """
        self._prepare = prepare
        self._output: InOrderOutput[Item, Result] = InOrderOutput(
            _WINDOW * len(work), publish, report)
        self._queue: NewestFrameQueue[Item, Prepared, Result] = NewestFrameQueue(
            len(work), self._output)
        self._longest = 0
        self.pace = Pace()
        self._lock = threading.Lock()
        self._when_idle: Optional[Callable[[], object]] = None
        self._start(work)

    def put(self, item: Item) -> bool:
        """
        Add a frame.

        :returns: at once, and whether there are too many: a frame had to be dropped for it, or it
            was skipped.
        """
        if self.pace.period and self._skip():
            return True
        return self._queue.put(item)

    def process(self, item: Item) -> bool:
        """
        Work on a frame in the calling thread if frames come one by one, else :meth:`put` it.

        :returns: as :meth:`put`.
        """
        if self.pace.period and self._skip():
            return True
        turn = self._queue.borrow(item)
        if turn is None:
            return self._queue.put(item)
        try:
            self._finish(turn)
            self._queue.offer(turn)
        except BaseException:  # its worker ends what was begun
            turn.wake()
            raise
        return False

    def fail(self, error: Exception) -> None:
        """Count and report a frame that failed before it could be put, whatever its place."""
        self._queue.count_arrival()
        self._output.fail(error)

    def stop(self, patience: Optional[float] = None,
             when_idle: Optional[Callable[[], object]] = None) -> bool:
        """
        Drop the frames that wait, let the ones under way finish and end the workers.

        Frames that are still being prepared then are left behind: their threads end later and use
        nothing that is a worker's own. Later calls wait for what an earlier one had no patience
        for.

        :param patience: seconds to wait for what is a worker's own; None to wait for ever.
        :param when_idle: what the last worker does when that is in use no more, if it is now. It
            needs no thread, which may be what the system lacks.
        :returns: whether nothing of that is in use any more.
        """
        self._queue.close()
        _join(self._workers, _TIDY)
        for worker in self._workers:
            worker.turn.is_over = True
        # Whoever is about to work sets is_working first and looks at is_over then, and here it is
        # the other way round: one of the two sees the other.
        busy = [worker for worker in self._workers if worker.turn.is_working]
        _join(busy, patience)
        self._output.give_up(self._queue.handed_out)
        with self._lock:
            is_idle = not any(worker.turn.is_working for worker in busy)
            if not is_idle:
                self._when_idle = when_idle
            return is_idle

    def resume(self, work: Sequence[Callable[[Prepared], Result]]) -> None:
        """
        Go on after :meth:`stop`; the frames that came meanwhile have been dropped.

        :param work: as at the start, for as many workers.
        :raises RuntimeError: the system has no threads for them; it is stopped as before.
        """
        self._queue.open()
        self._start(work)

    @property
    def patience(self) -> float:
        """Seconds after which a worker hangs, rather than being busy as others have been."""
        return max(_MIN_PATIENCE, 3e-9 * self._longest)

    @property
    def counters(self) -> Counters:
        """Return the counters now; each is exact, their sum may miss a frame under way."""
        queue, output = self._queue, self._output
        arrival = queue.last_arrival
        return Counters(
            queue.received, queue.dropped + output.dropped, output.failed, output.published,
            len(queue), None if arrival is None else arrival * 1e-9, self._find_held_up(),
            queue.skipped)

    def take_latencies(self) -> List[float]:
        """Return the times from arrival to result, in seconds, since this was last called."""
        latencies = self._output.latencies
        return [latencies.popleft() * 1e-9 for _ in range(len(latencies))]

    def _skip(self) -> bool:
        """Count a frame as skipped if no other one is wanted yet."""
        now = time.monotonic_ns()
        if self.pace.lets_through(now):
            return False
        self._queue.count_skipped(now)
        return True

    def _find_held_up(self) -> Optional[HeldUp]:
        turns = [worker.turn for worker in self._workers]
        return min((HeldUp(turn.began * 1e-9, turn.is_working)
                    for turn in turns if turn.frame is not None and turn.began), default=None)

    def _start(self, work: Sequence[Callable[[Prepared], Result]]) -> None:
        # Until all are there none gets a frame: one that is worked on would have to be waited for
        # if they cannot all be started, by a thread that its result may need.
        self._workers: List[_Worker[Item, Prepared, Result]] = []
        try:
            for number, one in enumerate(work):
                worker = _Worker(number, Turn(one), self._run, self._output.report)
                worker.start()
                self._workers.append(worker)
        except Exception:  # noqa: B902, there are no more threads, or no memory for one
            self.stop()
            raise
        self._queue.take_frames()

    def _run(self, turn: Turn[Item, Prepared, Result]) -> None:
        while turn.frame is not None or not turn.is_over:
            if turn.frame is None:
                self._queue.wait(turn)
            else:
                self._finish(turn)
        self._leave()

    def _leave(self) -> None:
        with self._lock:
            if any(worker.turn.is_working for worker in self._workers):
                return
            action, self._when_idle = self._when_idle, None
        if action is not None:
            action()

    def _finish(self, turn: Turn[Item, Prepared, Result]) -> None:
        """Bring a turn's frame to its end, from wherever it is."""
        frame = turn.frame
        assert frame is not None
        if frame.item is None or self._attempt(turn, frame):
            self._output.put(frame)
        turn.is_working = False
        turn.began = 0
        turn.frame = None

    def _attempt(self, turn: Turn[Item, Prepared, Result], frame: Frame[Item, Result]) -> bool:
        """Work on a frame, once; returns whether anybody waits for it still."""
        item, frame.item = frame.item, None
        assert item is not None
        turn.began = time.monotonic_ns()
        try:
            prepared = self._prepare(item)
            turn.is_working = True
            if turn.is_over:  # see stop(): in this order
                return False
            prepared_at = time.monotonic_ns()
            frame.result = turn.work(prepared)
            frame.error = None
            worked = time.monotonic_ns() - prepared_at
            if worked > self._longest:
                self._longest = worked
        except Exception as error:  # noqa: B902, whatever a frame does, the worker lives on
            frame.error = error.with_traceback(None)  # which would keep the frame's pixels
        self._queue.duration = time.monotonic_ns() - turn.began
        return True


def _join(threads: Iterable[threading.Thread], seconds: Optional[float]) -> None:
    """Wait for threads, so many seconds for all together; None for ever."""
    end = None if seconds is None else time.monotonic() + seconds
    for thread in threads:
        thread.join(None if end is None else max(0.0, end - time.monotonic()))
