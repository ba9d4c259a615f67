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


"""An engine that fails again and again: reopened, with patience, by one thread at a time."""

from __future__ import annotations

import threading
from typing import Callable, Dict, Iterator, List

from emulated_libdnn import Emulator, fingerprint_class, MODEL
from mobilenetv2_ros.cancellation import CancelToken
from mobilenetv2_ros.image.image_message import Header, ImageView
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.pipeline.recovery import FAILURES_IN_A_ROW, Recovery, Steps
import numpy as np
import pytest

pytestmark = pytest.mark.faults

PATIENCE = 30.0


class Bench:
    """A recovery whose pauses take no time, and what it does."""

    def __init__(self) -> None:
        """Start with an engine that can be reopened at once."""
        self.done: List[str] = []
        self.pauses: List[float] = []
        self.lines: List[str] = []
        self.refusals: List[Exception] = []
        self.refusing = 'reopen'
        self.hook: Dict[str, Callable[[], object]] = {}
        self._now = 0.0
        self.cancel_token = CancelToken()
        self.recovery = Recovery(
            Steps(*(self._step(name) for name in Steps._fields)), self.cancel_token,
            self.lines.append, self.lines.append, lambda: self._now, self._wait)

    def _step(self, name: str) -> Callable[[], None]:
        def step() -> None:
            self.done.append(name)
            self.hook.get(name, lambda: None)()
            if self.refusals and name == self.refusing:
                raise self.refusals.pop(0)

        return step

    def _wait(self, event: threading.Event, seconds: float) -> bool:
        self.pauses.append(seconds)
        self._now += seconds
        return event.is_set()

    def fail(self, count: int = FAILURES_IN_A_ROW, reason: str = 'hung') -> None:
        """Fail with so many images, and wait for what comes of it."""
        for _ in range(count):
            self.recovery.record_failure(reason)
        self.join()

    def join(self) -> None:
        thread = self.recovery._thread
        if thread is not None:
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def bench() -> Iterator[Bench]:
    """Make a bench; at its end no thread is left."""
    bench = Bench()
    yield bench
    bench.recovery.stop(PATIENCE)
    bench.join()


def test_only_failures_in_a_row_count(bench: Bench) -> None:
    for _ in range(3):
        bench.fail(FAILURES_IN_A_ROW - 1)
        bench.recovery.record_success()
    assert not bench.done and not bench.lines and bench.recovery.outage is None
    bench.fail()
    assert bench.done == ['suspend', 'reopen', 'resume']


def test_a_story_has_two_lines(bench: Bench) -> None:
    bench.fail()
    outage = bench.recovery.outage
    assert outage is not None and outage.is_open and outage.reason == 'hung'
    bench.recovery.record_success()
    assert bench.recovery.outage is None
    bench.recovery.record_success()
    assert bench.lines == [
        'the engine failed 10 times in a row and is reopened; images are dropped until it '
        'works: hung',
        'the engine works again, after 0 s and 1 reopening(s)']


def test_each_attempt_waits_longer_than_the_one_before(bench: Bench) -> None:
    bench.refusals = [BackendError('no memory')] * 7
    bench.fail()
    assert bench.pauses == [0, 1, 2, 4, 8, 16, 30, 30]
    assert bench.done == ['suspend', *['reopen'] * 8, 'resume']
    bench.recovery.record_success()
    assert bench.lines[1:] == [
        'the engine cannot be reopened: no memory',
        'the engine works again, after 91 s and 8 reopening(s)']
    assert bench.recovery.reopenings == 8


def test_attempts_become_no_faster_if_reopening_does_not_help(bench: Bench) -> None:
    """The engine opens but classifies nothing: one story, and it is not opened all the time."""
    for _ in range(4):
        bench.fail()
    assert bench.pauses == [0, 1, 2, 4] and len(bench.lines) == 1
    bench.recovery.record_success()
    assert bench.lines[1:] == ['the engine works again, after 7 s and 4 reopening(s)']
    bench.fail()
    assert bench.pauses[4:] == [0]


def test_a_new_reason_is_told(bench: Bench) -> None:
    bench.refusals = [BackendError('a'), BackendError('a'), OSError('b'), BackendError('a')]
    bench.fail()
    assert [line.split(': ')[1] for line in bench.lines] == ['hung', 'a', 'b', 'a']


def test_workers_that_cannot_be_let_on_are_another_failed_attempt(bench: Bench) -> None:
    bench.refusing, bench.refusals = 'resume', [RuntimeError("can't start new thread")]
    bench.fail()
    assert bench.done == ['suspend', *['reopen', 'resume'] * 2]
    assert bench.lines[1:] == ["the engine cannot be reopened: can't start new thread"]
    bench.recovery.record_success()
    assert bench.recovery.outage is None
    bench.fail()
    assert bench.done[5:] == ['suspend', 'reopen', 'resume']


def test_without_a_thread_the_next_failure_tries_again(
        bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse)
        bench.fail()
    assert not bench.done and not bench.cancel_token.is_cancelled
    bench.fail(1)
    assert bench.done == ['suspend', 'reopen', 'resume'] and len(bench.lines) == 1


def test_what_has_no_words_of_its_own_is_named(bench: Bench) -> None:
    bench.refusals = [MemoryError()]
    bench.fail()
    assert bench.lines[1:] == ['the engine cannot be reopened: MemoryError()']


def test_stragglers_change_nothing(bench: Bench) -> None:
    """What workers that are being ended still bring neither ends the story nor starts one."""
    def straggle() -> None:
        assert bench.cancel_token.is_cancelled
        bench.recovery.record_success()
        for _ in range(2 * FAILURES_IN_A_ROW):
            bench.recovery.record_failure('late')

    bench.hook['suspend'] = straggle
    bench.hook['reopen'] = lambda: bench.done.append(str(bench.cancel_token.is_cancelled))
    bench.fail()
    assert bench.done == ['suspend', 'reopen', 'False', 'resume']
    assert bench.recovery.outage is not None and bench.recovery.outage.reason == 'hung'


@pytest.mark.parametrize('moment', ['suspend', 'reopen', 'pause'])
def test_stop_at_any_moment(bench: Bench, moment: str) -> None:
    """The workers stay ended and the engine is the caller's."""
    reached, go_on = threading.Event(), threading.Event()

    def linger(*_: object) -> bool:
        reached.set()
        assert go_on.wait(PATIENCE)
        return bench.recovery._stopping.is_set()

    if moment == 'pause':
        bench.recovery._wait = linger
    else:
        bench.hook[moment] = linger
    for _ in range(FAILURES_IN_A_ROW):
        bench.recovery.record_failure('hung')
    assert reached.wait(PATIENCE)
    threading.Timer(0.1, go_on.set).start()
    assert bench.recovery.stop(PATIENCE)
    assert bench.cancel_token.is_cancelled
    assert not {'resume', 'close'} & set(bench.done)
    for _ in range(FAILURES_IN_A_ROW):
        bench.recovery.record_failure('late')
    assert bench.done.count('suspend') == 1


def test_an_attempt_that_hangs_is_left_with_its_engine(
        bench: Bench) -> None:
    """Who stops does not wait for ever; the thread closes the engine when it comes back."""
    reached, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        reached.set()
        go_on.wait(PATIENCE)

    bench.hook['reopen'] = hang
    for _ in range(FAILURES_IN_A_ROW):
        bench.recovery.record_failure('hung')
    assert reached.wait(PATIENCE)
    assert not bench.recovery.stop(0.05)
    go_on.set()
    bench.join()
    assert bench.done == ['suspend', 'reopen', 'close']


def test_stop_without_a_story(bench: Bench) -> None:
    assert bench.recovery.stop(PATIENCE)
    bench.fail()
    bench.recovery.record_success()
    assert not bench.done and not bench.lines


# With a real engine


OPENING = (
    'hbDNNInitializeFromFiles', 'hbDNNGetModelNameList', 'hbDNNGetModelHandle',
    'hbDNNGetInputCount', 'hbDNNGetOutputCount', 'hbDNNGetInputTensorProperties',
    'hbDNNGetOutputTensorProperties', 'hbSysAllocCachedMem', 'hbSysFlushMem', 'hbDNNInfer',
    'hbDNNWaitTaskDone', 'hbDNNReleaseTask', 'hbSysFreeMem', 'hbDNNRelease')
OPTIONS = ClassificationOptions(inference_timeout=0.5)


def check_classification(engine: LoadedModel) -> None:
    for seed, classifier in enumerate(engine.classifiers):
        image = np.random.default_rng(seed).integers(0, 256, (336, 224), np.uint8)
        best = fingerprint_class(image[:224], image[224:])
        view = ImageView(Header(0, 0, ''), 224, 224, 'nv12', False, 224, image.reshape(-1))
        assert classifier.classify(view, OPTIONS)[0] == (best, pytest.approx(0.9))


@pytest.mark.parametrize('setting, value', [
    ('fail_next', 1.0), ('fail_rate', 0.3), ('fail', -6000001.0)])
@pytest.mark.parametrize('function', OPENING)
def test_every_call_may_fail_while_an_engine_is_reopened(
        emulator: Emulator, function: str, setting: str, value: float) -> None:
    """Memory that is freed too early is always noticed: the BPU still works on it then."""
    emulator.set('serial_us', 5000)
    emulator.set('seed', 5)  # three waits fail in a row
    engine = LoadedModel(str(MODEL), inference_timeout=OPTIONS.inference_timeout)
    emulator.set(f'{setting}.{function}', value)
    for attempt in range(1, 1000):
        is_well = reopen(engine)
        is_enough = attempt == 3 if setting == 'fail' else is_well
        if emulator.get(f'injected.{function}') and is_enough:
            break
    emulator.set(f'{setting}.{function}', 0)
    assert attempt < 999 and reopen(engine)
    check_classification(engine)
    engine.close()


def reopen(engine: LoadedModel) -> bool:
    try:
        engine.reopen()
    except BackendError:
        assert not engine.is_open
        return False
    assert engine.is_open
    return True


def test_scores_of_another_kind_are_refused(emulator: Emulator) -> None:
    """A reopened engine that gives nonsense must not be taken for a model of logits."""
    engine = LoadedModel(str(MODEL), inference_timeout=OPTIONS.inference_timeout)
    emulator.set('out_of_range', 1)
    with pytest.raises(BackendError, match='of another kind than before'):
        engine.reopen()
    assert not engine.is_open
    emulator.set('out_of_range', 0)
    engine.reopen()
    check_classification(engine)
    engine.close()


def test_a_reopened_engine_is_given_the_time_that_is_allowed_now(emulator: Emulator) -> None:
    """Whoever raises the parameter, as the error advises, waits for no other configuration."""
    engine = LoadedModel(str(MODEL), inference_timeout=0.5)
    emulator.set('slow_us', 700_000)
    with pytest.raises(BackendError, match='within inference_timeout, 0.5 s'):
        engine.reopen()
    engine.reopen(60.0)
    emulator.set('slow_us', 0)
    check_classification(engine)
    engine.close()


def test_a_wait_is_given_up_on_request(emulator: Emulator) -> None:
    """Whatever the timeout; the first inference of the model may be the one that hangs."""
    cancelled = CancelToken()
    cancelled.cancel()
    emulator.set('hang_next', 1)
    with pytest.raises(BackendError, match='no longer waited for'):
        LoadedModel(str(MODEL), inference_timeout=60.0, cancel_token=cancelled)
    engine = LoadedModel(str(MODEL), inference_timeout=60.0, cancel_token=cancelled)
    check_classification(engine)
    engine.close()
