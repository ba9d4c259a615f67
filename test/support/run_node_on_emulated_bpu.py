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
The node on an emulated BPU: ``-m support.run_node_on_emulated_bpu [OPTIONS] [ROS arguments]``.

The options are those of :mod:`support.emulated_node`.
"""

from __future__ import annotations

import sys

from mobilenetv2_ros.stop_signals import hold_stop_signals


def main() -> int:
    """
    Run the node until a signal ends it.

    :returns: the node's exit code.
    """
    hold_stop_signals()
    # Only now what may start a thread that a signal could end.
    from support.emulated_node import run

    return run()


if __name__ == '__main__':
    sys.exit(main())
