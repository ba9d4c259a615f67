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

import threading
from typing import Iterator, List

from node_process import wait_until
import pytest
rclpy = pytest.importorskip('rclpy', reason='ROS is not installed')
from mobilenetv2_ros.receiving import Receiver  # noqa: E402, I100
from rclpy.context import Context  # noqa: E402
from rclpy.node import Node  # noqa: E402
from rclpy.serialization import deserialize_message  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

pytestmark = pytest.mark.faults


class Listener:
    """A receiver of headers, in which what the test asks for goes wrong."""

    def __init__(self, node: Node) -> None:
        self.frames: List[str] = []
        self.errors: List[str] = []
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
    listener.receiver.stop()
    assert 'receiver' not in {thread.name for thread in threading.enumerate()}
    node.destroy_node()
    context.try_shutdown()


def test_what_cannot_be_taken_is_reported_and_the_next_one_taken(listener: Listener) -> None:
    for frame in ('1', 'bad', '2', 'bad', 'bad', '3'):
        listener.publish(frame)
    wait_until(lambda: listener.frames == ['1', '2', '3'])
    assert listener.errors == ['it could not be taken from the middleware: MemoryError()'] * 3


def test_it_ends_while_everything_fails(listener: Listener) -> None:
    for _ in range(5):
        listener.publish('bad')
    wait_until(lambda: bool(listener.errors))
