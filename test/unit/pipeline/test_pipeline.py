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
Every frame ends once, in order, whatever its work does and however long it takes.

Work waits for events that the test sets, so that each interleaving is the one that is meant.
"""

from __future__ import annotations

from contextlib import suppress
import itertools
from pathlib import Path
import random
import sys
import threading
import time
from types import FrameType
from typing import Callable, Dict, Iterator, List, Optional, Tuple
import weakref

import mobilenetv2_ros.pipeline
from mobilenetv2_ros.pipeline.pipeline import Pipeline
import pytest
from support.node_process import wait_until

PATIENCE = 30.0
"""Seconds after which a test that waits has failed; none comes near."""

WINDOW = 4
"""Frames under way or held back for each worker."""


def same(item: int) -> int:
    """Prepare a number."""
    return item


class Bench:
    """A pipeline of numbers whose work begins when it likes and ends when the test says so."""

    def __init__(self, workers: int, publish: Optional[Callable[[int], None]] = None) -> None:
        self._changed = threading.Condition()
        self._released: Dict[int, Optional[Exception]] = {}
        self.started: List[int] = []
        self.published: List[int] = []
        self.errors: List[Exception] = []
        self._publish_hook = publish
        self.pipeline: Pipeline[int, int, int] = Pipeline(
            same, [self._work] * workers, self._publish, self._report)

    def release(self, item: int, error: Optional[Exception] = None) -> None:
        with self._changed:
            self._released[item] = error
            self._changed.notify_all()

    def wait_for(self, condition: Callable[[], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(condition, PATIENCE), self.counts()

    def start(self, item: int) -> None:
        """Put a frame and wait until a worker has it."""
        self.pipeline.put(item)
        self.wait_for(lambda: item in self.started)

    def counts(self) -> Tuple[int, int, int, int, int]:
        """Return how many frames were received, dropped, failed and published, and wait."""
        counters = self.pipeline.counters
        return (counters.received, counters.dropped, counters.failed, counters.published,
                counters.waiting)

    def _work(self, item: int) -> int:
        with self._changed:
            self.started.append(item)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: item in self._released, PATIENCE)
            error = self._released[item]
        if error is not None:
            raise error
        return item

    def _publish(self, result: int) -> None:
        if self._publish_hook is not None:
            self._publish_hook(result)
        with self._changed:
            self.published.append(result)
            self._changed.notify_all()

    def _report(self, error: Exception) -> None:
        with self._changed:
            self.errors.append(error)
            self._changed.notify_all()


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_one_after_the_other() -> None:
    bench = Bench(1)
    for item in range(5):
        bench.start(item)
        bench.release(item)
        bench.wait_for(lambda: len(bench.published) == item + 1)
    bench.pipeline.stop()
    assert bench.published == [0, 1, 2, 3, 4]
    assert bench.counts() == (5, 0, 0, 5, 0)


def test_late_frame_is_waited_for() -> None:
    bench = Bench(3)
    for item in range(3):
        bench.start(item)
    bench.release(2)
    bench.release(1)
    # Worker 2 and 1 are done when they take new frames; their results still wait for 0.
    bench.start(3)
    bench.start(4)
    assert bench.published == []
    bench.release(0)
    bench.wait_for(lambda: bench.published == [0, 1, 2])
    bench.release(4)
    bench.start(5)
    assert bench.published == [0, 1, 2]
    bench.release(3)
    bench.release(5)
    bench.wait_for(lambda: bench.published == [0, 1, 2, 3, 4, 5])
    bench.pipeline.stop()


def test_late_frame_that_fails_holds_nobody_up() -> None:
    bench = Bench(2)
    bench.start(0)
    bench.start(1)
    bench.release(1)
    bench.start(2)
    bench.release(0, ValueError('bad image'))
    bench.wait_for(lambda: bench.published == [1])
    bench.release(2)
    bench.wait_for(lambda: bench.published == [1, 2])
    bench.pipeline.stop()
    assert [str(error) for error in bench.errors] == ['bad image']
    assert bench.counts() == (3, 0, 1, 2, 0)


@pytest.mark.parametrize('workers', [1, 2, 4])
def test_oldest_is_dropped_for_the_newest(workers: int) -> None:
    bench = Bench(workers)
    for item in range(workers):
        bench.start(item)
    waiting = list(range(workers, 2 * workers))
    for item in waiting:
        bench.pipeline.put(item)
    assert bench.counts() == (2 * workers, 0, 0, 0, workers)
    newest = list(range(2 * workers, 3 * workers))
    for count, item in enumerate(newest, start=1):
        bench.pipeline.put(item)
        assert bench.counts() == (2 * workers + count, count, 0, 0, workers)
    expected = [*range(workers), *newest]
    for item in expected:
        bench.release(item)
    bench.wait_for(lambda: bench.published == expected)
    bench.pipeline.stop()
    assert not set(waiting) & set(bench.started)
    assert bench.counts() == (3 * workers, workers, 0, 2 * workers, 0)


@pytest.mark.parametrize('seed', range(20))
def test_random_order_of_completion(seed: int) -> None:
    """Frames end in any order; they leave in the order of arrival, each counted once."""
    dice = random.Random(seed)
    workers = dice.randint(1, 5)
    bench = Bench(workers)
    under_way: List[int] = []
    failing = set(dice.sample(range(60), 10))
    for item in range(60):
        if len(under_way) == workers:
            oldest = min(under_way)
            done = oldest if item - oldest >= WINDOW * workers else dice.choice(under_way)
            under_way.remove(done)
            bench.release(done, RuntimeError(str(done)) if done in failing else None)
        bench.start(item)
        under_way.append(item)
    dice.shuffle(under_way)
    for done in under_way:
        bench.release(done, RuntimeError(str(done)) if done in failing else None)
    bench.wait_for(lambda: len(bench.published) + len(bench.errors) == 60)
    bench.pipeline.stop()
    assert bench.published == [item for item in range(60) if item not in failing]
    assert [str(error) for error in bench.errors] == [str(item) for item in sorted(failing)]
    assert bench.counts() == (60, 0, 10, 50, 0)


@pytest.mark.parametrize('workers', [1, 2, 4])
def test_flood_is_counted_to_the_last_frame(workers: int) -> None:
    """Frames come as fast as they can from several threads; the counters still add up."""
    published: List[int] = []
    errors: List[Exception] = []

    def work(item: int) -> int:
        if item % 7 == 0:
            raise ValueError(item)
        return item

    pipeline = Pipeline(same, [work] * workers, published.append, errors.append)

    def put_every_third(first: int) -> None:
        for item in range(first, 6000, 3):
            pipeline.put(item)

    threads = [threading.Thread(target=put_every_third, args=(first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    pipeline.stop()
    counters = pipeline.counters
    assert counters.received == 6000 and counters.waiting == 0
    assert counters.published == len(published) == len(set(published))
    assert counters.failed == len(errors)
    assert counters.dropped + counters.failed + counters.published == 6000
    for first in range(3):
        from_one_thread = [item for item in published if item % 3 == first]
        assert from_one_thread == sorted(from_one_thread)


def test_worker_survives_failing_work() -> None:
    bench = Bench(1)
    for item in range(3):
        bench.start(item)
        bench.release(item, KeyError(item))
        bench.wait_for(lambda: len(bench.errors) == item + 1)
    bench.start(3)
    bench.release(3)
    bench.wait_for(lambda: bench.published == [3])
    bench.pipeline.stop()
    assert bench.counts() == (4, 0, 3, 1, 0)


def test_failing_publish_is_reported_and_counted_as_failed() -> None:
    def publish(result: int) -> None:
        if result == 1:
            raise RuntimeError('context is shut down')

    bench = Bench(1, publish)
    for item in range(3):
        bench.start(item)
        bench.release(item)
        bench.wait_for(lambda: len(bench.published) + len(bench.errors) == item + 1)
    bench.pipeline.stop()
    assert bench.published == [0, 2]
    assert [str(error) for error in bench.errors] == ['context is shut down']
    assert bench.counts() == (3, 0, 1, 2, 0)


def test_a_frame_that_never_came_in_is_counted_and_reported() -> None:
    bench = Bench(1)
    bench.start(0)
    bench.pipeline.fail(MemoryError('no room'))
    assert [str(error) for error in bench.errors] == ['no room']
    assert bench.counts() == (2, 0, 1, 0, 0)
    assert bench.pipeline.counters.last_arrival is not None
    bench.release(0)
    bench.wait_for(lambda: bench.published == [0])
    bench.pipeline.stop()


def test_publish_is_called_by_one_thread_at_a_time() -> None:
    inside = threading.Lock()
    overlaps: List[int] = []
    errors: List[Exception] = []

    def publish(result: int) -> None:
        if not inside.acquire(blocking=False):
            overlaps.append(result)
            return
        # Lets other threads run, which is when they would come in.
        threading.Event().wait(0.0001)
        inside.release()

    pipeline: Pipeline[int, int, int] = Pipeline(
        same, [lambda item: item] * 4, publish, errors.append)
    for item in range(500):
        pipeline.put(item)
    pipeline.stop()
    assert overlaps == [] and errors == []


def test_stop_drops_what_waits_and_finishes_what_runs() -> None:
    bench = Bench(2)
    bench.start(0)
    bench.start(1)
    bench.pipeline.put(2)
    bench.pipeline.put(3)
    stopping = threading.Thread(target=bench.pipeline.stop)
    stopping.start()
    deadline = time.monotonic() + PATIENCE
    while bench.pipeline.counters.waiting and time.monotonic() < deadline:
        stopping.join(0.001)
    assert stopping.is_alive() and bench.counts() == (4, 2, 0, 0, 0)
    bench.release(1)
    bench.release(0)
    stopping.join(PATIENCE)
    assert not stopping.is_alive()
    assert bench.published == [0, 1] and bench.started == [0, 1]
    assert bench.counts() == (4, 2, 0, 2, 0)


def test_frames_after_the_stop_are_dropped_and_counted() -> None:
    bench = Bench(1)
    bench.pipeline.stop()
    bench.pipeline.put(0)
    bench.pipeline.stop()
    assert bench.started == []
    assert bench.counts() == (1, 1, 0, 0, 0)


def test_each_worker_has_work_of_its_own() -> None:
    meeting = threading.Barrier(3)
    published: List[str] = []

    def make_work(name: str) -> Callable[[int], str]:
        def work(item: int) -> str:
            meeting.wait(PATIENCE)
            return name

        return work

    pipeline = Pipeline(
        same, [make_work('a'), make_work('b')], published.append, lambda error: None)
    pipeline.put(0)
    pipeline.put(1)
    meeting.wait(PATIENCE)
    pipeline.stop()
    assert sorted(published) == ['a', 'b']


@pytest.mark.parametrize('workers', [1, 4])
def test_frames_that_come_one_by_one_are_worked_on_where_they_came_in(workers: int) -> None:
    where: List[str] = []
    published: List[int] = []

    def work(item: int) -> int:
        where.append(threading.current_thread().name)
        return item

    pipeline = Pipeline(same, [work] * workers, published.append, print)
    pipeline.process(0)
    wait_until(lambda: published == [0])
    for item in range(1, 50):
        before = time.monotonic()
        while time.monotonic() - before < 0.002:  # far longer than the work takes
            pass
        assert pipeline.process(item) is False
    pipeline.stop()
    assert published == list(range(50)) and where[0].startswith('worker')
    mine = threading.current_thread().name
    # The work may have been held up at any time, by the machine; then the next one is queued.
    assert where.count(mine) > 25
    assert pipeline.counters[:5] == (50, 0, 0, 50, 0)


def test_frames_that_come_together_are_given_to_the_workers() -> None:
    bench = Bench(2)
    bench.start(0)
    for item in (1, 2, 3):
        assert bench.pipeline.process(item) is False
    assert bench.pipeline.process(4) is True
    for item in (0, 1, 3, 4):
        bench.release(item)
    bench.wait_for(lambda: bench.published == [0, 1, 3, 4])
    bench.pipeline.stop()
    assert bench.counts() == (5, 1, 0, 4, 0)


def test_slow_frames_are_given_to_the_workers() -> None:
    bench = Bench(2)
    bench.start(0)
    bench.release(0)
    bench.wait_for(lambda: bench.published == [0])
    bench.pipeline._queue.duration = int(PATIENCE * 1e9)
    assert bench.pipeline.process(1) is False
    bench.release(1)
    bench.wait_for(lambda: bench.published == [0, 1])
    bench.pipeline.stop()


class HeldUp:
    """A pipeline in which another thread has been working on frame 1 since it came in."""

    def __init__(self) -> None:
        self.bench = Bench(2)
        self.bench.start(0)
        self.bench.release(0)
        self.bench.wait_for(lambda: self.bench.published == [0])
        self.wait_for_idle_workers()
        self.thread = threading.Thread(target=self.bench.pipeline.process, args=(1,))
        self.thread.start()
        self.bench.wait_for(lambda: 1 in self.bench.started)
        assert self.bench.pipeline.counters.held_up is not None

    def wait_for_idle_workers(self) -> None:
        queue = self.bench.pipeline._queue
        wait_until(lambda: len(queue._idle) == 2)
        queue.duration = 0


def test_frames_put_meanwhile_are_worked_on_too_and_in_order() -> None:
    held_up = HeldUp()
    bench = held_up.bench
    for item in (2, 3, 4):
        bench.pipeline.put(item)
    bench.wait_for(lambda: 2 in bench.started)
    for item in (3, 4, 2):
        bench.release(item)
    assert bench.published == [0]
    bench.release(1)
    bench.wait_for(lambda: bench.published == [0, 1, 2, 3, 4])
    held_up.thread.join(PATIENCE)
    assert bench.pipeline.counters.held_up is None
    bench.pipeline.stop()
    assert bench.counts() == (5, 0, 0, 5, 0)


def test_stop_waits_for_the_frame_that_is_worked_on_where_it_came_in() -> None:
    held_up = HeldUp()
    bench = held_up.bench
    stopping = threading.Thread(target=bench.pipeline.stop)
    stopping.start()
    wait_until(lambda: bench.pipeline._queue._closed)
    assert stopping.is_alive()
    bench.release(1, ValueError('bad image'))
    stopping.join(PATIENCE)
    held_up.thread.join(PATIENCE)
    assert not stopping.is_alive()
    assert [str(error) for error in bench.errors] == ['bad image']
    assert bench.pipeline.process(3) is True
    assert bench.published[:1] == [0] and 3 not in bench.started


def test_latencies_are_taken_once() -> None:
    bench = Bench(1)
    for item in range(3):
        bench.start(item)
        bench.release(item, ValueError() if item == 1 else None)
        bench.wait_for(lambda: len(bench.published) + len(bench.errors) == item + 1)
    bench.pipeline.stop()
    latencies = bench.pipeline.take_latencies()
    assert len(latencies) == 2 and all(0 < latency < PATIENCE for latency in latencies)
    assert bench.pipeline.take_latencies() == []


def test_last_arrival() -> None:
    bench = Bench(1)
    assert bench.pipeline.counters.last_arrival is None
    before = time.monotonic()
    bench.start(0)
    first = bench.pipeline.counters.last_arrival
    assert first is not None and before <= first <= time.monotonic()
    bench.pipeline.put(1)
    second = bench.pipeline.counters.last_arrival
    assert second is not None and first <= second
    bench.release(0)
    bench.release(1)
    bench.wait_for(lambda: bench.published == [0, 1])
    bench.pipeline.stop()
    assert bench.pipeline.counters.last_arrival == second


def test_counters_since_earlier_ones() -> None:
    bench = Bench(1)
    bench.start(0)
    bench.release(0)
    bench.wait_for(lambda: bench.published == [0])
    bench.start(1)
    earlier = bench.pipeline.counters
    bench.pipeline.put(2)
    bench.pipeline.put(3)
    bench.release(1, ValueError())
    bench.release(3)
    bench.wait_for(lambda: bench.published == [0, 3])
    bench.pipeline.stop()
    since = bench.pipeline.counters.since(earlier)
    assert (since.received, since.dropped, since.failed, since.published) == (2, 1, 1, 1)
    assert since.last_arrival == bench.pipeline.counters.last_arrival


def test_trouble_that_cannot_be_told_does_not_stop_what_comes_behind(
        capsys: pytest.CaptureFixture[str]) -> None:
    published: List[int] = []

    def work(item: int) -> int:
        if item == 0:
            raise ValueError('torn')
        return item

    def report(error: Exception) -> None:
        raise OSError('no log')

    pipeline: Pipeline[int, int, int] = Pipeline(
        same, [work], published.append, report)
    for item in range(3):
        pipeline.put(item)
        deadline = time.monotonic() + PATIENCE
        while pipeline.counters.published + pipeline.counters.failed <= item:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    pipeline.fail(ValueError('not taken'))
    pipeline.stop()
    assert published == [1, 2] and pipeline.counters.failed == 2
    assert capsys.readouterr().err.count('OSError: no log') == 2


def test_without_threads_it_stays_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that were started are ended: the engine is about to be closed."""
    pipeline: Pipeline[int, int, int] = Pipeline(
        same, [int] * 3, print, print)
    pipeline.stop()
    before = threading.active_count()
    start, started = threading.Thread.start, itertools.count()

    def start_two(self: threading.Thread) -> None:
        if next(started) == 2:
            raise RuntimeError("can't start new thread")
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', start_two)
        with pytest.raises(RuntimeError, match='new thread'):
            pipeline.resume([int] * 3)
    assert threading.active_count() == before
    pipeline.put(1)
    assert pipeline.counters.dropped == 1
    pipeline.resume([int] * 3)
    assert threading.active_count() == before + 3
    pipeline.stop()


@pytest.mark.parametrize('error', [RuntimeError("can't start new thread"), MemoryError()])
def test_no_worker_has_a_frame_before_all_are_there(
        monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    """Its result may need who waits for it, and its engine is about to be closed."""
    published: List[int] = []
    pipeline: Pipeline[int, int, int] = Pipeline(same, [same] * 3, published.append, print)
    pipeline.stop()
    before = threading.active_count()
    start, started = threading.Thread.start, itertools.count()

    def start_two(self: threading.Thread) -> None:
        pipeline.put(1)
        pipeline.process(2)
        if next(started) == 2:
            raise error
        start(self)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', start_two)
        with pytest.raises(type(error)):
            pipeline.resume([same] * 3)
    assert threading.active_count() == before
    assert not published and pipeline.counters.dropped == 6


def test_it_goes_on_with_other_workers() -> None:
    """What comes meanwhile is dropped; no result is lost, late or of the workers before."""
    published: List[str] = []
    changed = threading.Condition()

    def publish(result: str) -> None:
        with changed:
            published.append(result)
            changed.notify_all()

    pipeline: Pipeline[int, int, str] = Pipeline(
        same, [lambda item: f'old {item}'] * 2, publish, print)

    def put_and_wait(*items: int) -> None:
        for item in items:
            count = len(published)
            pipeline.put(item)
            with changed:
                assert changed.wait_for(lambda: len(published) > count, PATIENCE)

    put_and_wait(0, 1, 2)
    for _ in range(2):
        pipeline.stop()
        pipeline.put(3)
    pipeline.resume([lambda item: f'new {item}'] * 2)
    put_and_wait(4, 5)
    pipeline.stop()
    assert published == ['old 0', 'old 1', 'old 2', 'new 4', 'new 5']
    counters = pipeline.counters
    assert (counters.received, counters.dropped, counters.published) == (7, 2, 5)


# What is late, and what a stop leaves behind


def test_nothing_is_handed_out_beyond_the_window() -> None:
    """One late frame holds back few results; the newest frames come then, not all of them."""
    bench = Bench(2)
    bench.start(0)
    for item in range(1, 1500):
        bench.release(item)
        bench.pipeline.put(item)
        if item < 2 * WINDOW:
            bench.wait_for(lambda: item in bench.started)
    assert len(bench.started) == 2 * WINDOW
    bench.release(0)
    expected = [*range(2 * WINDOW), 1498, 1499]
    bench.wait_for(lambda: bench.published == expected)
    bench.pipeline.stop()
    assert bench.counts() == (1500, 1500 - len(expected), 0, len(expected), 0)


def test_a_result_that_waits_keeps_nothing_of_its_frame() -> None:
    class Pixels:
        """Of an image."""

    go_on, pixels = threading.Event(), Pixels()
    errors: List[Exception] = []
    watched = weakref.ref(pixels)

    def work(item: object) -> int:
        if isinstance(item, Pixels):
            raise ValueError('torn')
        assert go_on.wait(PATIENCE)
        return 0

    pipeline: Pipeline[object, object, int] = Pipeline(
        lambda item: item, [work] * 2, lambda result: None, errors.append)
    pipeline.put('late')
    pipeline.put(pixels)
    del pixels
    wait_until(lambda: watched() is None)
    assert not errors
    go_on.set()
    pipeline.stop()
    assert [str(error) for error in errors] == ['torn']


class Decoding:
    """A pipeline whose frames are prepared for as long as the test says."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.ended = (
            threading.Event(), threading.Event(), threading.Event())
        self.worked: List[str] = []
        self.published: List[str] = []
        self.errors: List[Exception] = []
        self.pipeline: Pipeline[str, str, str] = Pipeline(
            self._decode, [self._work], self.published.append, self.errors.append)

    def _decode(self, item: str) -> str:
        if item == 'bomb':
            self.begun.set()
            assert self.go_on.wait(PATIENCE)
            self.ended.set()
        return item

    def _work(self, item: str) -> str:
        self.worked.append(item)
        return item


def test_stop_leaves_behind_what_is_being_prepared() -> None:
    """Its thread never uses what is the worker's own, which may be gone or another thread's."""
    decoding = Decoding()
    pipeline = decoding.pipeline
    pipeline.put('bomb')
    assert decoding.begun.wait(PATIENCE)
    held_up = pipeline.counters.held_up
    assert held_up is not None and not held_up.is_prepared
    straggler, = pipeline._workers
    assert pipeline.stop()
    assert straggler.is_alive() and pipeline.counters[:5] == (1, 1, 0, 0, 0)
    pipeline.resume([decoding._work])
    pipeline.put('good')
    wait_until(lambda: decoding.published == ['good'])
    decoding.go_on.set()
    straggler.join(PATIENCE)
    assert not straggler.is_alive()
    pipeline.stop()
    assert decoding.worked == decoding.published == ['good'] and not decoding.errors
    assert pipeline.counters[:5] == (2, 1, 0, 1, 0)


def test_stop_says_when_a_worker_is_still_at_work() -> None:
    bench = Bench(2)
    bench.start(0)
    bench.start(1)
    bench.release(1)
    left: List[str] = []
    assert not bench.pipeline.stop(0.05, lambda: left.append(threading.current_thread().name))
    assert not left
    held_up = bench.pipeline.counters.held_up
    assert held_up is not None and held_up.is_prepared
    bench.release(0)
    assert bench.pipeline.stop()
    assert bench.published == [1]  # the other one came too late
    assert bench.counts() == (2, 1, 0, 1, 0)
    assert left == ['worker_0'] or left == ['worker_1']


def test_patience_grows_with_what_the_work_takes() -> None:
    bench = Bench(1)
    assert bench.pipeline.patience == 1.0
    bench.pipeline._longest = 2_000_000_000
    assert bench.pipeline.patience == pytest.approx(6.0)
    bench.pipeline.stop()


# A worker that fails where nothing should


@pytest.mark.skipif(
    sys.version_info >= (3, 12), reason='Python itself may crash when it gets no memory')
@pytest.mark.parametrize('method', ['put', 'process'])
def test_output_goes_on_whichever_allocation_fails(method: str) -> None:
    """The frame may be lost, but not its place in the order."""
    testcapi = pytest.importorskip('_testcapi')
    published: List[int] = []
    for number in range(150):
        del published[:]
        pipeline: Pipeline[int, int, int] = Pipeline(
            same, [same] * 2, published.append, lambda error: None)
        put_and_wait(pipeline, -1)
        put = getattr(pipeline, method)
        try:
            testcapi.set_nomemory(number, number + 1)
            put(0)
            wait_a_little(pipeline, 2)
        except MemoryError:  # as the receiver does
            pass
        finally:
            testcapi.remove_mem_hooks()
        put_and_wait(pipeline, 1)
        pipeline.stop()
        assert published in ([-1, 0, 1], [-1, 1])


def wait_a_little(pipeline: Pipeline[int, int, int], published: int) -> None:
    """Let the workers run, which need memory; a frame that never comes out is not waited for."""
    end = time.monotonic() + 0.05
    while pipeline.counters.published < published and time.monotonic() < end:
        time.sleep(0)


class Injection:
    """Lets one call of a function of the pipeline fail, in whichever thread."""

    def __init__(self) -> None:
        self.left = -1
        self.has_failed = False
        self._folder = str(Path(mobilenetv2_ros.pipeline.__file__).parent)

    def __enter__(self) -> Injection:
        threading.setprofile(self._look)
        return self

    def __exit__(self, *_: object) -> None:
        threading.setprofile(None)
        sys.setprofile(None)

    def arm(self, number: int) -> None:
        self.has_failed = False
        self.left = number
        sys.setprofile(self._look)

    def _look(self, frame: FrameType, event: str, argument: object) -> None:
        file = frame.f_code.co_filename
        if event != 'call' or self.left < 0 or not file.startswith(self._folder):
            return
        self.left -= 1
        if self.left < 0:
            self.has_failed = True
            raise MemoryError


@pytest.mark.parametrize('method', ['put', 'process'])
def test_output_goes_on_whichever_call_fails(method: str) -> None:
    published: List[int] = []
    for number in itertools.count():
        del published[:]
        with Injection() as injection:
            pipeline: Pipeline[int, int, int] = Pipeline(
                same, [same] * 2, published.append, lambda error: None)
            put_and_wait(pipeline, -1)
            injection.arm(number)
            with suppress(MemoryError):  # as the receiver does
                getattr(pipeline, method)(0)
            wait_until(lambda: injection.has_failed or len(published) == 2)
            injection.left = -1
        put_and_wait(pipeline, 1)
        pipeline.stop()
        assert published in ([-1, 0, 1], [-1, 1])
        if not injection.has_failed:
            break
    assert number > 8


def put_and_wait(pipeline: Pipeline[int, int, int], item: int) -> None:
    """Put a frame; its result has come and all workers are idle then."""
    published = pipeline.counters.published
    pipeline.put(item)
    wait_until(lambda: pipeline.counters.published > published)
    wait_until(lambda: len(pipeline._queue._idle) == 2)
    pipeline._queue.last_arrival, pipeline._queue.duration = 0, 0
