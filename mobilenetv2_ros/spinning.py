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

from mobilenetv2_ros.trouble_log import TroubleLog
import rclpy
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


class Spinner:
    """
    Spin a node until any thread says stop.

    The plain executor does: pictures do not come through it (see :mod:`.receiving`), and what is
    left, services and a timer, is little. rclpy's events executor would be faster, but its
    endless wait hangs and it replaces the process's signal handlers.
    """

    def __init__(self, node: Node) -> None:
        """Add the node to an executor of its own."""
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._troubles = TroubleLog(node.get_logger().error)
        self._stopped = False
        self._lock = threading.Lock()

    @property
    def is_stopped(self) -> bool:
        """Whether :meth:`stop` has been called."""
        return self._stopped

    def spin(self) -> None:
        """
        Work until :meth:`stop`, or until ROS is shut down.

        What a callback raises is told and does not end the node: in Humble the service of the
        lifecycle raises when it is asked for a transition that does not fit the state.
        """
        try:
            while rclpy.ok() and not self._stopped:
                self._spin_once()
        except ExternalShutdownException:
            pass

    def _spin_once(self) -> None:
        try:
            self._executor.spin_once()
        except ExternalShutdownException:
            raise
        except Exception as error:  # noqa: B902, no request may end the node
            kind = type(error).__name__
            self._troubles.report(
                kind, f'a service or timer failed and was skipped: {kind}: {error}')

    def stop(self) -> None:
        """Let :meth:`spin` return; from any thread, before or after it, any number of times."""
        with self._lock:
            if not self._stopped:
                self._stopped = True
                # A task makes spin_once() return; wake() alone lets it go on waiting for a timer.
                self._executor.create_task(lambda: None)

    def close(self) -> None:
        """End the executor, after :meth:`spin`; a later signal finds nothing to stop."""
        with self._lock:
            self._stopped = True
        self._executor.shutdown()
