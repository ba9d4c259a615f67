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

import signal
import threading
from typing import Callable, Set


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


def call_on_stop_signal(stop: Callable[[str], None]) -> None:
    """
    Call ``stop`` with the name of each held signal, those that already came included.

    :param stop: called by a thread of its own, for ever.
    """
    def wait_for_signals() -> None:
        while True:
            stop(signal.Signals(signal.sigwait(find_stop_signals())).name)

    threading.Thread(target=wait_for_signals, name='stop_signals', daemon=True).start()
