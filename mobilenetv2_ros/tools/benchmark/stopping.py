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

All of them start with the signals held back, the others because they inherit that, and let them
through when they have something to tidy up.
"""

from __future__ import annotations

import signal
from types import FrameType
from typing import Optional

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def release_stop_signals() -> None:
    """Let signals through, those that came while they were held back at once."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _STOP_SIGNALS)


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
    for one in _STOP_SIGNALS:
        # A SIGHUP that is ignored stays so, as nohup asks for.
        if one != signal.SIGHUP or signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, handler)


def _do_nothing(number: int, frame: Optional[FrameType]) -> None:
    pass
