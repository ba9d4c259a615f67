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
A thread that takes serialized messages, apart from the executor.

An executor runs a callback for every message, whether or not anybody can use it: a camera that is
faster than the engine keeps the interpreter busy with pictures that are dropped, and the workers
from theirs. rclpy's events executor even queues an event for each, without a limit. This thread
waits for its one subscription, and pauses when the pictures are too many; the middleware then
keeps the newest ones and drops the others without Python's help. It uses rclpy's wait set as
``rclpy.wait_for_message`` does, the same from Humble on. What cannot be taken, for example because
there is no memory for it, is reported, and the thread goes on.
"""

from __future__ import annotations

import threading
import time
from typing import Any, Callable, Dict

from mobilenetv2_ros.trouble_log import describe
from rclpy.impl.implementation_singleton import rclpy_implementation as _rclpy
from rclpy.node import Node
from rclpy.subscription import Subscription

_FOR_EVER = -1
_PAUSE = 0.0005
"""Seconds between two messages when there are too many; half of the BPU's time for a frame."""

_PAUSE_AFTER_FAILURE = 0.05
"""Seconds; what fails at once may do so again, and must not keep the processor busy."""


class ReceivingError(Exception):
    """A message could not be taken; the text says why."""


class Receiver:
    """Take the messages of a raw subscription that no executor knows."""

    def __init__(self, node: Node, subscription: Subscription,
                 put: Callable[[bytes], bool], report: Callable[[ReceivingError], None]) -> None:
        """
        Start the thread.

        :param subscription: made with ``raw=True`` and kept from the node's executor.
        :param put: takes each message; returns whether there are too many. No other is taken
            meanwhile.
        :param report: called for each message that cannot be taken.
        """
        self._subscription = subscription
        self._put = put
        self._report = report
        context: Any = node.context.handle
        self._wait_set = _rclpy.WaitSet(1, 1, 0, 0, 0, 0, context)
        self._wake = _rclpy.GuardCondition(context)
        self._stopped = False
        self._last_numbers: Dict[bytes, int] = {}
        self._untaken = 0
        self.lost = 0
        """Messages that the middleware dropped, where it numbers them (Kilted and later)."""
        self._thread = threading.Thread(target=self._run, name='receiver', daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the subscription may be destroyed then."""
        self._stopped = True
        with self._wake:
            self._wake.trigger_guard_condition()
        self._thread.join()
        self._wake.destroy_when_not_in_use()
        self._wait_set.destroy_when_not_in_use()

    def _run(self) -> None:
        handle = self._subscription.handle
        with handle, self._wake, self._wait_set:
            while not self._stopped:
                try:
                    self._wait(handle)
                    self._take_all(handle)
                except Exception as error:  # noqa: B902, later messages may be fine
                    self._untaken += 1
                    self._report(ReceivingError(
                        f'it could not be taken from the middleware: {describe(error)}'))
                    time.sleep(_PAUSE_AFTER_FAILURE)

    def _wait(self, handle: Any) -> None:
        self._wait_set.clear_entities()
        self._wait_set.add_subscription(handle)
        self._wait_set.add_guard_condition(self._wake)
        self._wait_set.wait(_FOR_EVER)

    def _take_all(self, handle: Any) -> None:
        message_type = self._subscription.msg_type
        while not self._stopped:
            taken = handle.take_message(message_type, True)
            if taken is None:
                return
            message, info = taken
            self._count_lost(info)
            if self._put(message):
                time.sleep(_PAUSE)

    def _count_lost(self, info: Dict[str, Any]) -> None:
        number, publisher = info.get('publication_sequence_number'), info.get('publisher_gid')
        if number is None or publisher is None:
            return
        source = bytes(publisher['data'])
        last = self._last_numbers.get(source, number - 1)
        self._last_numbers[source] = number
        if number - last > 1:
            # Those that could not be taken are missing here too, but have been reported.
            self.lost += max(0, number - last - 1 - self._untaken)
            self._untaken = 0
