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

"""Memory that late tasks of closed models could still write to, at the end of a test."""

from __future__ import annotations

from mobilenetv2_ros.inference.backends import libdnn


def free_orphaned_buffers() -> None:
    """
    Free it, now that no task is under way any more.

    :raises mobilenetv2_ros.inference.backends.libdnn_abi.LibdnnError: some could not be freed;
        that is deferred.
    """
    libdnn._ORPHANED.free(libdnn._ORPHANED.list())
