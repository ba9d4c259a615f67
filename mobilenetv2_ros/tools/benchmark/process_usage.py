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

"""What a process has used of processor and memory, on Linux; known without ROS."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
import time

_LIBC = ctypes.CDLL(None)


def read_cpu_seconds(process: int) -> float:
    """
    Read the processor time of all threads, which /proc has in steps of 10 ms only.

    :param process: its id.
    :raises OSError: there is no such process.
    """
    clock = ctypes.c_int()
    if error := _LIBC.clock_getcpuclockid(process, ctypes.byref(clock)):
        raise OSError(error, os.strerror(error), f'process {process}')
    return time.clock_gettime(clock.value)


def read_resident_bytes(process: int) -> int:
    """
    Read the memory that a process occupies.

    :param process: its id.
    :raises OSError: there is no such process.
    """
    pages = Path(f'/proc/{process}/statm').read_text(encoding='ascii').split()[1]
    return int(pages) * os.sysconf('SC_PAGE_SIZE')


def read_proportional_bytes(process: int) -> int:
    """
    Read the memory that a process occupies, where shared memory counts to each in equal parts.

    :param process: its id.
    :raises OSError: there is no such process.
    """
    lines = Path(f'/proc/{process}/smaps_rollup').read_text(encoding='ascii').splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith('Pss:'))
