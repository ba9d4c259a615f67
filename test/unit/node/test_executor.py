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

from pathlib import Path
import signal
import sys
import threading
from typing import Any, Iterator, List

from mobilenetv2_ros.node.executor import Spinner
import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from support.fixture_types import TinyModel
from support.node_process import NodeProcess, NodeStarter, RELIABLE
from support.ros_peer import make_image, Peer

pytestmark = pytest.mark.faults


@pytest.fixture
def node(own_domain: None) -> Iterator[Node]:
    rclpy.init(args=[])
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


def test_the_plain_executor_stops_too(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """Humble has no other, and its own only looks at a future after a callback."""
    monkeypatch.setitem(sys.modules, 'rclpy.experimental', None)
    waiting = threading.Event()

    def spin_once_as_on_humble(self: Any, future: Any, timeout_sec: Any = None) -> None:
        waiting.set()
        self.spin_once()

    for prefix in ('', '_'):  # Kilted's calls the latter
        monkeypatch.setattr(
            SingleThreadedExecutor, f'{prefix}spin_once_until_future_complete',
            spin_once_as_on_humble, raising=False)
    spinner = Spinner(node)
    thread = threading.Thread(target=spinner.spin, daemon=True)
    thread.start()
    assert waiting.wait(30)
    spinner.stop()
    thread.join(30)
    assert not thread.is_alive()
    spinner.close()


RAISES_AS_ON_HUMBLE = """\
import sys

from mobilenetv2_ros.stop_signals import hold_stop_signals
hold_stop_signals()

from lifecycle_msgs.srv import ChangeState
from mobilenetv2_ros.node.classifier_node import ClassifierNode
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy


def refuse(self, request, response):
    raise _rclpy.RCLError('Failed to trigger lifecycle state machine transition')


ClassifierNode.__init__ = (lambda original: lambda self, *args: (
    original(self, *args),
    self.create_service(ChangeState, '~/refuse', lambda *two: refuse(self, *two)),
    None)[-1])(ClassifierNode.__init__)
from mobilenetv2_ros.node.main import main
sys.exit(main())
"""


def start_as_on_humble(
        start_node: NodeStarter, tiny_model: TinyModel, folder: Path) -> NodeProcess:
    program = folder / 'as_on_humble.py'
    program.write_text(RAISES_AS_ON_HUMBLE)
    return start_node(
        program=(str(program),), parameters={**RELIABLE, **tiny_model.parameters})


def ask_to_be_refused(peer: Peer) -> None:
    from lifecycle_msgs.srv import ChangeState
    refusing: Any = peer.node.create_client(ChangeState, '/mobilenetv2/refuse')
    peer.wait_until(refusing.service_is_ready)
    for _ in range(3):
        refusing.call_async(ChangeState.Request())


def test_a_request_that_fails_does_not_end_the_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, tmp_path: Path) -> None:
    """On Humble a transition that does not fit the state raises out of its service."""
    node = start_as_on_humble(start_node, tiny_model, tmp_path)
    node.wait_until_active()
    ask_to_be_refused(peer)
    line = node.wait_for_line('a service or timer failed and was skipped')
    assert 'RCLError: Failed to trigger lifecycle state machine transition' in line
    peer.connect()
    assert peer.set_parameter('top_k', 3) == ''
    peer.change_states('deactivate')
    assert len(node.find('was skipped')) == 1
    node.send(signal.SIGINT)
    assert node.wait() == 0, node.text
    assert 'Traceback' not in node.text


@pytest.mark.parametrize('is_image_first', [True, False])
def test_bad_images_and_bad_requests_in_one_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, tmp_path: Path,
        is_image_first: bool) -> None:
    """A logger of rclpy raises where one place writes lines of two severities."""
    node = start_as_on_humble(start_node, tiny_model, tmp_path)
    peer.connect()
    bad = make_image(np.zeros((8, 8, 3), np.uint8), 'hologram')

    def send_image() -> None:
        peer.publish(bad)
        node.wait_for_line("image not classified: encoding 'hologram'")

    def send_request() -> None:
        ask_to_be_refused(peer)
        node.wait_for_line('a service or timer failed and was skipped')

    for send in (send_image, send_request) if is_image_first else (send_request, send_image):
        send()
    peer.classify(make_image(np.zeros((8, 8, 3), np.uint8)))
    assert peer.set_parameter('top_k', 3) == ''
    node.send(signal.SIGINT)
    assert node.wait() == 0, node.text
    assert 'Traceback' not in node.text
