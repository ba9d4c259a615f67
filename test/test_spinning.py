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

"""The loop that serves services and timers: a failing one does not end it."""

from __future__ import annotations

from typing import Iterator, List

from node_process import find_free_domain
import pytest
rclpy = pytest.importorskip('rclpy', reason='ROS is not installed')
from mobilenetv2_ros.spinning import Spinner  # noqa: E402, I100
from rclpy.node import Node  # noqa: E402


@pytest.fixture
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[Node]:
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    rclpy.init(args=[], domain_id=find_free_domain())
    node = Node('served')
    yield node
    node.destroy_node()
    rclpy.try_shutdown()


def test_what_a_callback_raises_is_told_and_the_next_one_is_served(
        node: Node, capfd: pytest.CaptureFixture[str]) -> None:
    spinner = Spinner(node)
    calls: List[int] = []

    def fail_twice() -> None:
        calls.append(len(calls))
        if len(calls) < 3:
            raise ValueError('this transition does not fit')
        spinner.stop()

    node.create_timer(0.01, fail_twice)
    spinner.spin()
    spinner.close()
    assert calls == [0, 1, 2]
    # The second one is held back: it is the same trouble.
    assert capfd.readouterr().err.count(
        'a service or timer failed and was skipped: ValueError: this transition does not') == 1
