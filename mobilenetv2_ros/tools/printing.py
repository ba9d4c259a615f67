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

"""Console programs: their output is their own, and may be cut off, full, or no text."""

from __future__ import annotations

from contextlib import suppress
import ctypes
from io import TextIOWrapper
import os
import signal
import sys
import threading
import time
from types import FrameType
from typing import Callable, Optional

from mobilenetv2_ros.stop_signals import ECHO_SECONDS


def run_printing(program: str, work: Callable[[], int]) -> int:
    """
    Run a program whose output may be cut off, or hold names that are no text.

    What libraries print goes to the standard error output from then on.

    :param program: its name, for the sentence.
    :returns: exit code: that of ``work``, 1 if the output cannot be written, 130 after Ctrl-C.
    """
    _let_all_names_through()
    _keep_libraries_from_output()
    _pass_over_echoes()
    try:
        code = work()
        if sys.stdout:
            sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # as head -1 does; whoever reads knows
        _drop_output()
    except OSError as error:
        with suppress(OSError):
            place = f"'{error.filename}'" if error.filename else 'stdout'
            print(f'{program}: {place} cannot be written: {error.strerror}', file=sys.stderr)
        _drop_output()
    return 1


def _pass_over_echoes() -> None:
    """
    Let a second Ctrl-C soon after the first one do nothing.

    A launched program gets each twice, and the echo would strike where the first one has things
    tidied up: threads that nobody waits for any more go on, or crash with the interpreter.
    """
    if threading.current_thread() is not threading.main_thread() or (
            signal.getsignal(signal.SIGINT) is not signal.default_int_handler):
        return
    echoes_until = 0.0

    def interrupt(number: int, frame: Optional[FrameType]) -> None:
        nonlocal echoes_until
        if (now := time.monotonic()) >= echoes_until:
            echoes_until = now + ECHO_SECONDS
            raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)


def _let_all_names_through() -> None:
    """Print what of a file's name is no text in the terminal's encoding as an escape sequence."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == 'strict':
        sys.stdout.reconfigure(errors='backslashreplace')


def _keep_libraries_from_output() -> None:
    """
    Send what is not printed by Python to the standard error output, for good.

    libdnn prints its log with each model that it opens, and nobody could read JSON amid that.
    Whoever replaced ``sys.stdout``, as a test does, sees to it himself.
    """
    with suppress(OSError, AttributeError):  # a stream is closed, or none of a file
        if sys.stdout.fileno() != 1:
            return
        sys.stdout.flush()
        ctypes.CDLL(None).fflush(None)
        output = open(os.dup(1), 'w', buffering=1 if sys.stdout.line_buffering else -1,
                      encoding=sys.stdout.encoding, errors=sys.stdout.errors)
        os.dup2(2, 1)
        sys.stdout = output


def _drop_output() -> None:
    """Let the end of the process find nothing that cannot be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        if stream:
            os.dup2(nowhere, stream.fileno())
