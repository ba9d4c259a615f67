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

"""Memory behind which nothing may be touched: one byte too far ends the process."""

from __future__ import annotations

import ctypes
import mmap
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

_PROT_NONE = 0


class GuardedMemory:
    """Pages whose last one can be neither read nor written."""

    def __init__(self, size: int) -> None:
        """
        Map the pages.

        :param size: of the longest content, in bytes.
        """
        usable = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._pages = mmap.mmap(-1, usable + mmap.PAGESIZE)
        self._end = usable
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._pages))
        protect = ctypes.CDLL(None, use_errno=True).mprotect
        if protect(ctypes.c_void_p(start + usable), ctypes.c_size_t(mmap.PAGESIZE), _PROT_NONE):
            raise OSError(ctypes.get_errno(), 'mprotect failed')

    def take(self, size: int) -> NDArray[np.uint8]:
        """Return the last bytes before the guard, uint8, flat."""
        assert size <= self._end
        return np.frombuffer(self._pages, np.uint8, size, self._end - size)

    def put(self, content: bytes) -> bytes:
        """Copy a message to the guard; what is returned can be used like it."""
        place = self.take(len(content))
        place[:] = np.frombuffer(content, np.uint8)
        return cast(bytes, cast(Any, place).data)
