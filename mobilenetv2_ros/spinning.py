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

"""How the node's thread waits for messages, and how it is told to stop."""

from __future__ import annotations

from typing import Any

import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

_SPIN_SECONDS = 3600.0
"""EventsExecutor's wait without a limit overflows and never sleeps; an hour serves as well."""


def make_executor() -> Executor:
    """
    Make the cheapest executor that this rclpy has.

    The events executor (Jazzy and later) takes a tenth of the time of the one that rebuilds its
    wait set for each message. A multi-threaded executor would be the slowest of all.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:
        return SingleThreadedExecutor()
    executor: Executor = EventsExecutor()
    return executor


class Spinner:
    """Spin a node until any thread says stop; stops from inside the executor."""

    def __init__(self, node: Node) -> None:
        """Add the node to an executor of its own."""
        self._executor = make_executor()
        self._executor.add_node(node)
        self._stopped: Future[Any] = Future(executor=self._executor)
        self._stop_asked = False

    def spin(self) -> None:
        """Work until :meth:`stop`, or until ROS is shut down."""
        try:
            while rclpy.ok() and not self._stop_asked:
                self._executor.spin_until_future_complete(self._stopped, _SPIN_SECONDS)
        except ExternalShutdownException:
            pass

    def stop(self) -> None:
        """Let :meth:`spin` return; may be called from any thread and before it."""
        self._stop_asked = True
        self._executor.create_task(self._finish)

    def close(self) -> None:
        """End the executor, after :meth:`spin`."""
        self._executor.shutdown()

    def _finish(self) -> None:
        if not self._stopped.done():
            self._stopped.set_result(True)
