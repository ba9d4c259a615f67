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

"""A thread that begins anew, whatever ends it before its time."""

from __future__ import annotations

import threading
import time
from typing import List

from mobilenetv2_ros import guarded_thread
from mobilenetv2_ros.guarded_thread import GuardedThread
import pytest

PATIENCE = 30.0


def run(body: object, report: object) -> None:
    thread = GuardedThread('mine', body, report)  # type: ignore[arg-type]
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


@pytest.mark.parametrize('error', [MemoryError(), OSError(4, 'Interrupted'), SystemExit('bye')])
def test_a_failure_is_told_and_the_body_called_again(
        error: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    reports: List[str] = []
    failures = [error, error]

    def body() -> None:
        assert threading.current_thread().name == 'mine'
        if failures:
            raise failures.pop()

    run(body, lambda failure: reports.append(str(failure)))
    text = str(error) or repr(error)
    assert not failures and reports == [f"the thread 'mine' failed and goes on: {text}"] * 2
    assert 'Traceback' in capsys.readouterr().err


def test_what_failed_long_ago_makes_no_pause_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pause of a worker holds back the results of all."""
    monkeypatch.setattr(guarded_thread, '_SOUND', 0.5)
    monkeypatch.setattr(guarded_thread, '_MAX_PAUSE', 2.0)
    began: List[float] = []

    def body() -> None:
        began.append(time.monotonic())
        if len(began) == 8:
            time.sleep(0.6)
        if len(began) < 9:
            raise ValueError

    run(body, print)
    assert began[8] - began[7] < 1.0 < began[7] - began[0]


def test_that_it_cannot_be_told_changes_nothing() -> None:
    failures = [ValueError('a'), ValueError('b')]

    def body() -> None:
        if failures:
            raise failures.pop()

    def report(failure: Exception) -> None:
        raise MemoryError

    run(body, report)
    assert not failures
