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
A thread that takes messages, apart from the executor.

An executor runs a callback for every message, whether or not anybody can use it: a camera that is
faster than the engine keeps the interpreter busy with images that are dropped, and the workers
from theirs. rclpy's events executor even queues an event for each, without a limit. This thread
waits for its one subscription, and pauses when the images are too many; the middleware then
keeps the newest ones and drops the others without Python's help. What cannot be taken, for example
because there is no memory for it, is reported, and the thread goes on.

The middleware announces each message by adding one to an eventfd, from its own thread and without
Python: libc's ``eventfd_write()`` has the very form of the callback that rcl wants. To wait is one
system call; rclpy's wait set would be filled anew for each message.

Images are taken as structures, see :mod:`.image_taking`, as long as nothing is wrong. A message
that is damaged never gets that far: the middleware announces it, and then there is none. Then, and
at the start, messages are taken as bytes for a while, so that whoever reads them can tell what is
wrong with them.
"""

from __future__ import annotations

import ctypes
import os
import time
from typing import Any, Callable, Dict, Optional
import weakref

from mobilenetv2_ros.guarded_thread import GuardedThread
from mobilenetv2_ros.node import rcl
from mobilenetv2_ros.node.message_info import MessageTaker, Taken
from mobilenetv2_ros.throttled_log import describe
from rclpy.subscription import Subscription
from rclpy.utilities import get_rmw_implementation_identifier

_PAUSE = 0.0005
"""Seconds between two messages when there are too many; half of the BPU's time for a frame."""

_PAUSE_AFTER_FAILURE = 0.05
"""Seconds; what fails at once may do so again, and must not keep the processor busy."""

_SILENCE = 0.005
"""
Seconds without an announcement after which a message that is announced alone must be there.

Else it may have given way to a newer one, or may have been taken just before it was announced.
"""

_PATIENCE = 1.0
"""Seconds that :meth:`Receiver.stop` waits for the thread."""

_MESSAGES_AS_BYTES = 100
"""So many are taken as bytes at the start and after one that could not be taken."""

_PUBLISHERS_KNOWN = 64
"""Publishers whose last number is kept; a camera that restarts is another one each time."""

_EXPLAINING = 'rmw_cyclonedds_cpp',
"""
Middlewares that say why a message cannot be taken.

Without a word it is a publisher that leaves: they announce that like a message.
"""

_POINTER_BYTES = ctypes.sizeof(ctypes.c_void_p)
"""Below 8, rcl's callback and ``eventfd_write()`` take their second argument from two places."""

_set_callback = rcl.bind('rcl_subscription_set_on_new_message_callback', 3)
_eventfd_write = ctypes.cast(ctypes.CDLL(None).eventfd_write, ctypes.c_void_p)


class ReceivingError(Exception):
    """A message could not be taken; the text says why."""


class _Announcements:
    """Wait for the messages that the middleware announces."""

    def __init__(self, handle: Any) -> None:
        if _POINTER_BYTES < 8:
            raise RuntimeError(
                'this is a 32-bit system, whose calling convention the reception of images does '
                'not know; use a 64-bit one')
        self._handle = handle
        self._eventfd = os.eventfd(0)
        self.close = weakref.finalize(self, os.close, self._eventfd)
        code = _set_callback(handle.pointer, _eventfd_write, self._eventfd)
        if code:
            self.close()
        rcl.check(code, 'rcl_subscription_set_on_new_message_callback')

    def wait(self) -> int:
        """Return how many have been announced since the last call; at least one."""
        while True:
            try:
                return os.eventfd_read(self._eventfd)
            except InterruptedError:  # by a signal handler of the program that embeds the node
                pass

    def stop(self) -> None:
        """Let :meth:`wait` return; nothing is announced any more."""
        with self._handle:
            _set_callback(self._handle.pointer, None, None)
        os.eventfd_write(self._eventfd, 1)


class Receiver:
    """Take the messages of a raw subscription that no executor knows."""

    def __init__(self, subscription: Subscription, put: Callable[[Any], bool],
                 report: Callable[[ReceivingError], None],
                 images: Optional[MessageTaker] = None) -> None:
        """
        Start the thread.

        :param subscription: made with ``raw=True`` and kept from the node's executor.
        :param put: takes each message; returns whether there are too many. No other is taken
            meanwhile.
        :param report: called for each message that cannot be taken.
        :param images: takes messages as structures; without it all are taken as bytes.
        :raises RuntimeError: the middleware does not announce messages, or the system has no
            thread.
        """
        self._subscription = subscription
        self._put = put
        self._report = report
        self._images = images
        self._knows_bytes = images is None or images.takes_bytes_at_first
        self._as_bytes = 0
        self._take_as_bytes_for_a_while()
        self._announcements = _Announcements(subscription.handle)
        self._stopped = False
        self._last_numbers: Dict[bytes, int] = {}
        self._untaken = 0
        self.lost: Optional[int] = None
        """Messages that the middleware dropped; None as long as none that came bore a number."""
        self._thread = GuardedThread(
            'receiver', self._run, lambda error: report(ReceivingError(str(error))))
        try:
            self._thread.start()
        except RuntimeError:  # the system has no more threads
            self._announcements.stop()
            self._announcements.close()
            raise

    def stop(self) -> None:
        """
        End the thread; the subscription may be destroyed then.

        A thread that hangs in ``put`` is left behind and uses nothing but what it holds.
        """
        self._stopped = True
        self._announcements.stop()
        self._thread.join(_PATIENCE)
        if not self._thread.is_alive():
            self._announcements.close()

    def _run(self) -> None:
        if self._stopped:  # begun anew; the subscription may have been destroyed meanwhile
            return
        handle = self._subscription.handle
        with handle:
            while not self._stopped:
                began = time.monotonic()
                announced = self._announcements.wait()
                is_there = announced == 1 and time.monotonic() - began > _SILENCE
                for _ in range(announced):
                    if self._stopped or not self._take_one(handle, is_there):
                        break

    def _take_one(self, handle: Any, is_there: bool) -> bool:
        """Take a message; returns whether there was one, whatever became of it."""
        taken: Optional[Taken] = None
        try:
            taken = self._take(handle)
            if taken is None:
                if is_there:
                    self._miss_structure()
                return False
            self._count_lost(taken)
            if self._put(taken.message):
                time.sleep(_PAUSE)
        except Exception as error:  # noqa: B902, later messages may be fine
            self._untaken += taken is None  # else its number is known
            self._take_as_bytes_for_a_while()
            self._report(ReceivingError(
                f'it could not be taken from the middleware: {describe(error)}'))
            time.sleep(_PAUSE_AFTER_FAILURE)
        return True

    def _take_as_bytes_for_a_while(self) -> None:
        if self._knows_bytes:
            self._as_bytes = _MESSAGES_AS_BYTES

    def _miss_structure(self) -> None:
        if self._images is not None and not self._as_bytes:
            reason = self._images.discard()
            if not reason and get_rmw_implementation_identifier() in _EXPLAINING:
                return
            raise ReceivingError(reason or 'it is damaged, or there is no memory for it')

    def _take(self, handle: Any) -> Optional[Taken]:
        if self._images is not None and not self._as_bytes:
            return self._images.take(handle.pointer)
        taken = self._take_bytes(handle)
        if taken is not None and self._as_bytes:
            self._as_bytes -= 1
            if not self._as_bytes:
                self._last_numbers.clear()  # out of date where bytes bear no number
        return taken

    def _take_bytes(self, handle: Any) -> Optional[Taken]:
        taken = handle.take_message(self._subscription.msg_type, True)
        if taken is None:
            return None
        message, info = taken
        publisher, number = info.get('publisher_gid'), info.get('publication_sequence_number')
        if publisher is None:  # Jazzy and earlier
            return Taken(message, b'', None)
        return Taken(message, bytes(publisher['data']), number)

    def _count_lost(self, taken: Taken) -> None:
        number = taken.sequence_number
        if number is None:
            return
        last = self._last_numbers.pop(taken.publisher_gid, number - 1)
        self.lost = self.lost or 0
        # At the end, behind publishers that have been silent for longer.
        self._last_numbers[taken.publisher_gid] = number
        if len(self._last_numbers) > _PUBLISHERS_KNOWN:
            del self._last_numbers[next(iter(self._last_numbers))]
        if number - last > 1:
            # Those that could not be taken are missing here too, but have been reported.
            self.lost += max(0, number - last - 1 - self._untaken)
            self._untaken = 0
