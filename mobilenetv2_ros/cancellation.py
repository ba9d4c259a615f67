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

"""A request to give up waiting, which threads that wait look at now and then."""

from __future__ import annotations

import threading
from typing import Optional


class CancelToken:
    """
    Ask those who wait for something slow to give up; from any thread.

    A token hears of its parent's cancellation too: that of a model follows that of the process.
    """

    def __init__(self, parent: Optional[CancelToken] = None) -> None:
        """
        Start without a request.

        :param parent: cancels this one as well.
        """
        self._requested = threading.Event()
        self._parent = parent

    @property
    def is_cancelled(self) -> bool:
        """Whether to give up."""
        return self._requested.is_set() or (
            self._parent is not None and self._parent.is_cancelled)

    def cancel(self) -> None:
        """Ask to give up, until :meth:`clear`."""
        self._requested.set()

    def clear(self) -> None:
        """Take the own request back; that of the parent stays."""
        self._requested.clear()
