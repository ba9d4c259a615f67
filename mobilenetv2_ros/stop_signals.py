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
The signals that end the node, held back until the node is ready for them.

A signal that Python turns into a KeyboardInterrupt may strike anywhere: in the middle of an
import, of tidying up, twice for one Ctrl-C. Held signals wait until one thread asks for them.
This module imports nothing that takes time, so that it can be the first one used.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from typing import Callable, NoReturn, Set

SECONDS_TO_END = 10.0
"""How long a program may take from its first stop signal to its end; about a second is usual."""

ECHO_SECONDS = 2.0
"""Signals so soon after the first one are the same wish."""


def find_stop_signals() -> Set[signal.Signals]:
    """Find the signals that end a program: SIGHUP only where nohup does not have it ignored."""
    ignored = {signal.SIGHUP} if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else set()
    return {signal.SIGINT, signal.SIGTERM, signal.SIGHUP} - ignored


def hold_stop_signals() -> None:
    """
    Hold SIGINT, SIGTERM and SIGHUP back in this thread and in all that it will start.

    A SIGHUP that the process was started to ignore stays ignored.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, find_stop_signals())


def release_stop_signals() -> None:
    """Let signals through, those that came while they were held back at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, find_stop_signals())


def call_on_stop_signal(stop: Callable[[str], None]) -> None:
    """
    Call ``stop`` with the name of the first held signal, one that already came included.

    A program that hangs in a call has not ended some seconds later. Then, or with another signal
    that is no echo of the first (Ctrl-C reaches a launched program twice), the process ends at
    once, with a line and exit code 1.

    :param stop: called by a thread of its own, once.
    """
    def wait_for_signals() -> None:
        signals = find_stop_signals()
        stop(signal.Signals(signal.sigwait(signals)).name)
        deadline = time.monotonic() + SECONDS_TO_END
        echoes_until = time.monotonic() + ECHO_SECONDS
        while (left := deadline - time.monotonic()) > 0:
            if signal.sigtimedwait(signals, left) and time.monotonic() > echoes_until:
                break
        _end_at_once()

    threading.Thread(target=wait_for_signals, name='stop_signals', daemon=True).start()


def _end_at_once() -> NoReturn:
    """End the process without tidying up: what would do it hangs."""
    print('not stopped in time, since a call hangs: the process ends at once', file=sys.stderr,
          flush=True)
    os._exit(1)
