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

"""Standard streams for a program that was started without them, as by ``2>&-`` or some daemons."""

from __future__ import annotations

import os
import sys


def open_missing_streams() -> None:
    """
    Let what is closed of standard input, output and error lead to nowhere.

    Else the next file that is opened is taken for standard error by every library in C, and
    faulthandler, which rclpy's executor starts, refuses to work.
    """
    for descriptor, name, mode in ((0, 'stdin', 'r'), (1, 'stdout', 'w'), (2, 'stderr', 'w')):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free, which is this one, since those below are open.
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(descriptor, mode, closefd=False))
