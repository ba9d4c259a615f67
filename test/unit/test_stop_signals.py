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

"""Stop signals: one wish however often it comes, and an end for a program that hangs."""

from __future__ import annotations

import signal
import subprocess

import pytest
from support.fixture_types import StartPython

PROGRAM = """
import sys, threading
from mobilenetv2_ros import stop_signals
stop_signals.hold_stop_signals()
stop_signals.SECONDS_TO_END = {seconds}
stop_signals.ECHO_SECONDS = {echo}
ends = threading.Event()

def stop(name):
    print('stop', name, flush=True)
    if {obeys}:
        ends.set()

stop_signals.call_on_stop_signal(stop)
print('ready', flush=True)
sys.stdin.readline()  # for tests that send a second signal after the first
ends.wait()
print('ended', flush=True)
"""


def start(start_python: StartPython, **values: object) -> subprocess.Popen[str]:
    """Start a program that hangs, or one that does as it is told."""
    process = start_python('-c', PROGRAM.format(**values))
    assert process.stdout is not None
    assert process.stdout.readline() == 'ready\n'
    return process


def read_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_program_that_hangs_ends_some_seconds_later(
        start_python: StartPython, number: signal.Signals) -> None:
    process = start(start_python, seconds=0.3, echo=0.1, obeys=False)
    process.send_signal(number)
    output, errors = process.communicate(timeout=30)
    assert (process.returncode, output) == (1, f'stop {number.name}\n')
    assert errors == 'not stopped in time, since a call hangs: the process ends at once\n'


def test_another_signal_ends_a_program_that_hangs(start_python: StartPython) -> None:
    process = start(start_python, seconds=60, echo=0, obeys=False)
    process.send_signal(signal.SIGINT)
    assert read_line(process) == 'stop SIGINT\n'
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1 and 'a call hangs' in errors


def test_an_echo_is_the_same_wish(start_python: StartPython) -> None:
    """Ctrl-C reaches a program twice where a launch file has started it."""
    process = start(start_python, seconds=60, echo=60, obeys=True)
    process.send_signal(signal.SIGINT)
    assert read_line(process) == 'stop SIGINT\n'
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate('\n', timeout=30)
    assert (process.returncode, output, errors) == (0, 'ended\n', '')
