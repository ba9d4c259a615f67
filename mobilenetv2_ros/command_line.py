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

"""The command line of programs whose settings are ROS parameters, with few exceptions."""

from __future__ import annotations

import argparse
from typing import Callable, Sequence


def parse_command_line(
        program: str, description: str, make_details: Callable[[], str],
        arguments: Sequence[str],
        add_options: Callable[[argparse.ArgumentParser], object] = lambda parser: None,
        ) -> argparse.Namespace:
    """
    Answer ``--help`` and refuse what is no option, both by ending the process.

    :param make_details: writes the text of the help, kept as it is; for who may ask for help.
    :param arguments: without the name of the program and those of ROS.
    :param add_options: adds those that the program has; by default it has none.
    """
    parser = argparse.ArgumentParser(
        prog=program, description=description,
        epilog=make_details() if arguments else None,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    return parser.parse_args(arguments)
