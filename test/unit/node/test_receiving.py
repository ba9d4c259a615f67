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

"""The thread that takes messages: whatever happens to one, it takes the next one."""

from __future__ import annotations

import os
from pathlib import Path
import signal
import threading
from typing import Iterator, List

from mobilenetv2_ros.node.message_info import Taken
from mobilenetv2_ros.node.receiving import Receiver
import pytest
import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.serialization import deserialize_message, serialize_message
from std_msgs.msg import Header
from support.node_process import wait_until

pytestmark = pytest.mark.faults


class Listener:
    """A receiver of headers, in which what the test asks for goes wrong."""

    def __init__(self, node: Node) -> None:
        self.frames: List[str] = []
        self.errors: List[str] = []
        self.may_go, self.has_come = threading.Event(), threading.Event()
        self.may_go.set()
        self._publisher = node.create_publisher(Header, 'header', 10)
        self._subscription = node.create_subscription(
            Header, 'header', lambda message: None, 10, raw=True)
        self.receiver = Receiver(
            self._subscription, self._put, lambda error: self.errors.append(str(error)))

    def _put(self, message: bytes) -> bool:
        frame: str = deserialize_message(message, Header).frame_id
        if frame == 'bad':
            raise MemoryError
        self.frames.append(frame)
        self.has_come.set()
        assert self.may_go.wait(30)
        return False

    def publish(self, frame: str) -> None:
        self._publisher.publish(Header(frame_id=frame))


@pytest.fixture
def listener(own_domain: None) -> Iterator[Listener]:
    context = Context()
    rclpy.init(args=[], context=context)
    node = Node('listener', context=context)
    listener = Listener(node)
    yield listener
    listener.may_go.set()
    listener.receiver.stop()
    assert 'receiver' not in {thread.name for thread in threading.enumerate()}
    node.destroy_node()
    context.try_shutdown()


def test_what_cannot_be_taken_is_reported_and_the_next_one_taken(listener: Listener) -> None:
    for frame in ('1', 'bad', '2', 'bad', 'bad', '3'):
        listener.publish(frame)
    wait_until(lambda: listener.frames == ['1', '2', '3'])
    assert listener.errors == ['it could not be taken from the middleware: MemoryError()'] * 3


def test_what_came_and_failed_hides_nothing_that_is_lost(
        listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    receiver = listener.receiver
    messages = iter([Taken(serialize_message(Header(frame_id=frame)), b'camera', number)
                     for number, frame in ((1, '1'), (2, 'bad'), (3, 'bad'), (7, '7'))])
    monkeypatch.setattr(receiver, '_take', lambda handle: next(messages))
    for _ in range(4):
        assert receiver._take_one(None, False)
    assert listener.frames == ['1', '7'] and receiver.lost == 3


def test_it_ends_while_everything_fails(listener: Listener) -> None:
    for _ in range(5):
        listener.publish('bad')
    wait_until(lambda: bool(listener.errors))


def test_a_signal_handler_of_the_embedding_program_does_not_end_it(listener: Listener) -> None:
    """Python lets a system call that a handler interrupts end with EINTR."""
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        thread = listener.receiver._thread
        assert thread.ident is not None
        for number in range(20):
            wait_until(lambda: is_asleep(thread))
            signal.pthread_kill(thread.ident, signal.SIGUSR1)
            listener.publish(str(number))
            wait_until(lambda: len(listener.frames) == number + 1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert not listener.errors


def is_asleep(thread: threading.Thread) -> bool:
    """Tell whether a thread waits in a system call."""
    return '\nState:\tS' in Path(f'/proc/self/task/{thread.native_id}/status').read_text()


def test_whatever_else_ends_its_thread_is_told_and_it_goes_on(
        listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    announcements = listener.receiver._announcements
    wait = announcements.wait
    failures = [OSError(5, 'Input/output error'), SystemExit()]

    def fail() -> int:
        count = wait()
        if failures:
            os.eventfd_write(announcements._eventfd, count)
            raise failures.pop(0)
        return count

    monkeypatch.setattr(announcements, 'wait', fail)
    for count, frame in enumerate(('1', '2', '3'), start=1):  # the first wait has begun before
        listener.publish(frame)
        wait_until(lambda: len(listener.frames) == count)
    assert listener.errors == [
        "the thread 'receiver' failed and goes on: [Errno 5] Input/output error",
        "the thread 'receiver' failed and goes on: SystemExit()"]


def test_a_thread_that_hangs_does_not_keep_who_stops_it(listener: Listener) -> None:
    listener.may_go.clear()
    listener.publish('slow')
    assert listener.has_come.wait(30)
    listener.receiver.stop()
    thread = listener.receiver._thread
    assert thread.is_alive()
    listener.may_go.set()
    thread.join(30)
    assert not thread.is_alive()


def test_a_thread_that_begins_anew_too_late_ends(
        listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    """It failed, paused, and the subscription was destroyed meanwhile."""
    monkeypatch.setattr(listener.receiver, '_stopped', True)
    monkeypatch.setattr(listener.receiver, '_subscription', None)
    listener.receiver._run()
