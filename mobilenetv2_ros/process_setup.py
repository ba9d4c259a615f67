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

"""What is set once for the whole process, each with its reason."""

from __future__ import annotations

import ctypes
import sys

import cv2

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""


def set_up_process() -> None:
    """Make Python, glibc and OpenCV fit for a stream of pictures."""
    keep_freed_memory()
    hand_the_interpreter_over_fast()
    leave_cores_to_workers()


def keep_freed_memory() -> None:
    """
    Let glibc keep the memory of large messages instead of returning it to the kernel.

    By default each message of more than 128 KiB is freshly mapped, page by page, and given back:
    1 ms for a VGA picture, 13 times what is left without it. Another C library has no mallopt;
    there all stays as it is.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, 32 << 20)
        libc.mallopt(_M_TRIM_THRESHOLD, 256 << 20)


def hand_the_interpreter_over_fast() -> None:
    """
    Shorten the time that a busy thread may keep others from running.

    A worker that comes back from waiting for the BPU needs the interpreter lock, and a busy
    thread gives it up only after this interval, 5 ms by default: four frame times of the BPU.
    """
    sys.setswitchinterval(0.0005)


def leave_cores_to_workers() -> None:
    """Keep OpenCV from starting threads of its own; the workers already use the cores."""
    cv2.setNumThreads(1)
