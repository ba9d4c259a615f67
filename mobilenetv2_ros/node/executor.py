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

"""How a node's thread serves its services and timers, and how it is told to stop."""

from __future__ import annotations

import threading
from typing import Any

from mobilenetv2_ros.throttled_log import ThrottledLog
import rclpy
from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node
from rclpy.task import Future

_LONG = 3600.0
"""Seconds that the executor is asked to spin; without a limit the events executor hangs."""


class Spinner:
    """
    Spin a node until any thread says stop.

    Images do not come through the executor (see :mod:`.receiving`); services and a timer do.
    """

    def __init__(self, node: Node) -> None:
        """Add the node to an executor of its own."""
        self._executor = _make_executor()
        self._executor.add_node(node)
        self._throttled_log = ThrottledLog(node.get_logger().warning)
        self._end: Any = Future()  # takes a type from Kilted on only
        self._lock = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` has been called."""
        return bool(self._end.done())

    def spin(self) -> None:
        """
        Work until :meth:`stop`, or until ROS is shut down.

        What a callback raises is told and does not end the node: in Humble the service of the
        lifecycle raises when it is asked for a transition that does not fit the state.
        """
        try:
            while rclpy.ok() and not self.is_stopped:
                self._spin_on()
        except ExternalShutdownException:
            pass

    def _spin_on(self) -> None:
        try:
            self._executor.spin_until_future_complete(self._end, _LONG)
        except ExternalShutdownException:
            raise
        except Exception as error:  # noqa: B902, no request may end the node
            kind = type(error).__name__
            self._throttled_log.report(
                kind, f'a service or timer failed and was skipped: {kind}: {error}')

    def stop(self) -> None:
        """Let :meth:`spin` return; from any thread, before or after it, any number of times."""
        with self._lock:
            if not self.is_stopped:
                self._end.set_result(None)
                if isinstance(self._executor, SingleThreadedExecutor):
                    # Humble's looks at the future only after a callback, which a task is.
                    self._executor.create_task(lambda: None)

    def close(self) -> None:
        """End the executor, after :meth:`spin`; a later signal finds nothing to stop."""
        self.stop()
        self._executor.shutdown()


def _make_executor() -> Executor:
    """
    Make the executor that costs least.

    The plain one looks at all services and timers each time that one of them has something to do.
    """
    try:
        from rclpy.experimental import EventsExecutor
    except ImportError:  # Humble
        return SingleThreadedExecutor()
    executor: Executor = EventsExecutor()
    return executor
