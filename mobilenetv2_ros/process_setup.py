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

from contextlib import contextmanager
import ctypes
import os
import sys
import threading
from typing import Iterator

import cv2

_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
"""Of glibc's malloc.h."""

_KEPT_BYTES = 256 << 20
_MAPPED_BYTES = 32 << 20

_LARGE_BYTES = 128 << 10
"""Above FASTBIN_CONSOLIDATION_THRESHOLD of glibc's malloc.c."""

_ARENAS_PER_CORE = 8
"""NARENAS_FROM_NCORES of glibc's malloc.c on a machine of 64 bits."""

_MAPPING = threading.Lock()


def set_up_process() -> None:
    """Make Python, glibc and OpenCV fit for a stream of images."""
    keep_freed_memory()
    hand_the_interpreter_over_fast()
    leave_cores_to_workers()


def keep_freed_memory() -> None:
    """
    Let glibc keep the memory of large messages instead of returning it to the kernel.

    By default each message of more than 128 KiB is freshly mapped, page by page, and given back:
    1 ms for a VGA image, 13 times what is left without it. Another C library has no mallopt;
    there all stays as it is.

    Each thread's arena keeps its own, see :func:`return_freed_memory`. Fewer would keep less,
    but then the middleware's threads share theirs with large images, and an allocation of theirs
    that fails ends the process.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'mallopt'):
        libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)


@contextmanager
def mapping_large_memory() -> Iterator[None]:
    """
    Let glibc map what is large, as it does by default, instead of taking kept memory.

    Fast DDS reserves 100 messages for a subscription, 6 MB each for shared-memory images, and
    asks for zeros: what is mapped freshly holds them without being touched. Afterwards memory is
    kept as after :func:`keep_freed_memory`. The threshold is the whole process's: of several nodes
    the others wait.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, 'mallopt'):
        yield
        return
    with _MAPPING:
        libc.mallopt(_M_MMAP_THRESHOLD, 1 << 20)
        try:
            yield
        finally:
            libc.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def return_freed_memory() -> None:
    """Return to the kernel what :func:`keep_freed_memory` has kept; no images come for a while."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, 'malloc_trim'):
        libc.mallopt(_M_TRIM_THRESHOLD, 0)
        _shorten_arenas(libc)
        libc.mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)
        libc.malloc_trim(0)


def _shorten_arenas(libc: ctypes.CDLL) -> None:
    """
    Give back the free end of every arena, which malloc_trim() leaves in all but the first.

    Only a thread that an arena belongs to shortens it, when it frees something large. New threads
    get the arenas that nobody has, and when there are none left all of them in turn; so as many
    threads at once as there can be arenas come to nearly every one.
    """
    libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    is_over = threading.Event()

    def free_something_large() -> None:
        libc.free(libc.malloc(_LARGE_BYTES))
        is_over.wait()

    threads = []
    try:
        for _ in range(_ARENAS_PER_CORE * (os.cpu_count() or 1)):
            thread = threading.Thread(target=free_something_large)
            thread.start()
            threads.append(thread)
    except RuntimeError:  # there are no more threads; some memory is kept
        pass
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


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
