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

"""What glibc's malloc keeps of what has been freed, in a process of its own."""

from __future__ import annotations

import ctypes
import itertools
import threading

from mobilenetv2_ros.process_setup import return_freed_memory
import pytest
from support.fixture_types import StartPython

pytestmark = pytest.mark.skipif(
    not hasattr(ctypes.CDLL(None), 'malloc_trim'), reason='this C library is not glibc')

PROGRAM = """
import sys
import threading
import numpy as np
from mobilenetv2_ros.process_setup import return_freed_memory, set_up_process
import psutil

set_up_process()
keeps_last = sys.argv[1] == 'last'
together = threading.Barrier(12)
ending = threading.Event()
kept = []


def work(goes_on):
    together.wait()  # each with an arena of its own, as long as there are some left
    images = [np.ones(1 << 16, np.uint8) for _ in range(64)]
    together.wait()
    if keeps_last:
        kept.append(images[-1])  # so that nothing before it can be given back from the end
    images.clear()
    together.wait()
    if goes_on:
        ending.wait()


threads = [threading.Thread(target=work, args=(index % 2,)) for index in range(12)]
for thread in threads:
    thread.start()
for thread in threads[::2]:
    thread.join()
before = psutil.Process().memory_info().rss
return_freed_memory()
print(before - psutil.Process().memory_info().rss)
ending.set()
"""


@pytest.mark.parametrize('kept', ['last', 'none'])
def test_what_is_kept_is_returned(start_python: StartPython, kept: str) -> None:
    process = start_python('-c', PROGRAM, kept)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    assert int(output) > 44 << 20  # of 48 MiB


def test_without_more_threads_some_memory_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """And those that could be started end."""
    before = threading.active_count()
    start, started = threading.Thread.start, itertools.count()

    def start_three(thread: threading.Thread) -> None:
        if next(started) == 3:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, 'start', start_three)
    return_freed_memory()
    assert next(started) == 4
    assert threading.active_count() == before


NODES = """
import ctypes
import threading
import time
from mobilenetv2_ros.process_setup import mapping_large_memory, set_up_process


class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in 'abcdefghij']


libc = ctypes.CDLL(None)
libc.mallinfo2.restype, libc.malloc.restype = Info, ctypes.c_void_p
set_up_process()
together = threading.Barrier(2)


def subscribe(seconds):
    together.wait()
    with mapping_large_memory():
        time.sleep(seconds)
        mapped = libc.mallinfo2().d
        libc.malloc(6 << 20)
        print(libc.mallinfo2().d - mapped)


threads = [threading.Thread(target=subscribe, args=(seconds,)) for seconds in (0.1, 0.3)]
for thread in threads:
    thread.start()
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallinfo2'), reason='glibc is before 2.33')
def test_several_nodes_map_large_memory_at_the_same_time(start_python: StartPython) -> None:
    output, errors = start_python('-c', NODES).communicate(timeout=60)
    assert output.split() == ['1', '1'], errors
