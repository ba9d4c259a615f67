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

"""Work on many things in a few threads; what comes of them keeps their order."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Deque, Generator, Iterable, TypeVar

Item = TypeVar('Item')
Result = TypeVar('Result')

_WAITING_PER_THREAD = 4


def map_in_order(work: Callable[[Item], Result], items: Iterable[Item],
                 threads: int) -> Generator[Result, None, None]:
    """
    Return the results one after the other, in the order of the items.

    Few items wait at a time: a recording need not fit into memory, and a second Ctrl-C may keep
    those that wait from being cancelled.

    :param work: called in the threads; what it raises is raised here, and ends it.
    :param items: read by the calling thread.
    """
    waiting: Deque[Future[Result]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) >= threads * _WAITING_PER_THREAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for one in waiting:
                one.cancel()
