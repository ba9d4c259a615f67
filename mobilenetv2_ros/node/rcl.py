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
What of rcl's C interface is called directly, as rclpy has it in no distribution or not in all.

The library is in the process already, since rclpy needs it.
"""

from __future__ import annotations

import ctypes
from typing import Any

RET_BAD_ALLOC = 10
RET_SUBSCRIPTION_TAKE_FAILED = 401
"""Of rcl/types.h; 0 is success."""


class _ErrorString(ctypes.Structure):
    """``rcutils_error_string_t`` of rcutils/error_handling.h."""

    _fields_ = [('text', ctypes.c_char * 1024)]


_LIBRARY = ctypes.CDLL('librcl.so')
_ERRORS = ctypes.PyDLL('librcutils.so')
_ERRORS.rcutils_get_error_string.restype = _ErrorString
_ERRORS.rcutils_error_is_set.restype = ctypes.c_bool


def bind(name: str, argument_count: int) -> Any:
    """
    Find a function that returns ``rcl_ret_t``; the interpreter lock is released while it runs.

    :param argument_count: its arguments are addresses.
    """
    function = getattr(_LIBRARY, name)
    function.argtypes = [ctypes.c_void_p] * argument_count
    return function


def find_implementation_identifier() -> int:
    """Return the address of the middleware's name, as it marks its structures with it."""
    find = _LIBRARY.rmw_get_implementation_identifier  # of a library that rcl is linked with
    find.restype = ctypes.c_void_p
    address: int = find()
    return address


def pop_error() -> str:
    """Return what rcl says of this thread's last error, and let it forget; '' if there is none."""
    if not _ERRORS.rcutils_error_is_set():
        return ''
    text = bytes(_ERRORS.rcutils_get_error_string().text).decode(errors='replace')
    _ERRORS.rcutils_reset_error()
    return text.rpartition(', at ')[0] or text  # without the line in the source of rcl


def check(code: int, call: str) -> None:
    """
    Raise what a call of rcl has returned.

    :raises MemoryError: there is no memory.
    :raises RuntimeError: it failed otherwise.
    """
    if not code:
        return
    text = pop_error()
    if code == RET_BAD_ALLOC:
        raise MemoryError(text)
    raise RuntimeError(f'{call} fails with {code}: {text}')
