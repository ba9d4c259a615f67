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
How a signal ends a benchmark and the processes that it has started.

All of them start with the signals held back, the others because they inherit that. The benchmark
looks between its steps whether one has come: a KeyboardInterrupt out of the blue gets lost where C
code runs Python and ignores what it raises, as imports within NumPy do. The others let signals
through when they have something to tidy up.
"""

from __future__ import annotations

import signal
import threading
from types import FrameType
from typing import Optional

from mobilenetv2_ros.stop_signals import (
    call_on_stop_signal, find_stop_signals, release_stop_signals)


def watch_stop_signals() -> threading.Event:
    """Return what is set when one of the signals comes, or has come, that are held back."""
    stopping = threading.Event()
    call_on_stop_signal(lambda name: stopping.set())
    return stopping


def check_stop(stopping: threading.Event) -> None:
    """
    Look between two steps whether to go on.

    :raises KeyboardInterrupt: no.
    """
    if stopping.is_set():
        raise KeyboardInterrupt


def interrupt_on_stop_signal() -> None:
    """
    Make a KeyboardInterrupt of the first signal and let signals through.

    Later ones do nothing: they must not strike where the first one has things tidied up.
    """
    def interrupt(number: int, frame: Optional[FrameType]) -> None:
        _handle_with(_do_nothing)
        raise KeyboardInterrupt

    _handle_with(interrupt)
    release_stop_signals()


def _handle_with(handler: signal._HANDLER) -> None:
    for one in find_stop_signals():
        signal.signal(one, handler)


def _do_nothing(number: int, frame: Optional[FrameType]) -> None:
    pass
