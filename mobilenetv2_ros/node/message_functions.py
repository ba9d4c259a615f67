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

"""The functions with which rosidl makes and frees a message's structure in C."""

from __future__ import annotations

import ctypes
from typing import Any, Callable, NamedTuple

from rclpy.type_support import check_for_type_support


class MessageFunctions(NamedTuple):
    """
    What a type of messages has, as rclpy uses it.

    :param make: returns the address of a message that is all zero, or 0 without memory.
    :param free: takes the address.
    """

    make: Callable[[], Any]
    free: Callable[[int], Any]


def find_message_functions(message_type: Any) -> MessageFunctions:
    """
    Look the functions of a type up.

    :param message_type: its Python class.
    """
    check_for_type_support(message_type)
    functions = type(message_type)
    return MessageFunctions(
        ctypes.PYFUNCTYPE(ctypes.c_void_p)(find_address(functions._CREATE_ROS_MESSAGE)),
        ctypes.PYFUNCTYPE(None, ctypes.c_void_p)(find_address(functions._DESTROY_ROS_MESSAGE)))


def find_address(capsule: Any) -> int:
    """Find the address in a capsule of rosidl, whatever it calls it."""
    name = ctypes.pythonapi.PyCapsule_GetName
    name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    find = ctypes.pythonapi.PyCapsule_GetPointer
    find.restype, find.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    address: int = find(capsule, name(capsule))
    return address
