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

"""The program ``benchmark``: its commands and their options."""

from __future__ import annotations

import argparse
import sys
from typing import List, Optional

from mobilenetv2_ros.stop_signals import hold_stop_signals
from mobilenetv2_ros.tools.benchmark.stopping import watch_stop_signals


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Run a benchmark.

    :param arguments: by default those of the process.
    :returns: exit code, 130 after a signal.
    """
    hold_stop_signals()
    # Only now, with signals held, what takes its time to import.
    from mobilenetv2_ros.tools.printing import run_printing

    options = parse_arguments(arguments)
    return run_printing('benchmark', lambda: run_command(options))


def parse_arguments(arguments: Optional[List[str]]) -> argparse.Namespace:
    """
    Parse the command line, or end the process with a sentence.

    :param arguments: by default those of the process.
    :returns: the options of a command, and as ``run`` the function that takes them.
    """
    from mobilenetv2_ros.tools.benchmark import backend, convert, node

    parser = argparse.ArgumentParser(
        prog='benchmark', description='Measure what this machine can do.')
    commands = parser.add_subparsers(required=True, metavar='COMMAND')
    for command in (backend, node, convert):
        command.add_command(commands)
    return parser.parse_args(arguments)


def run_command(options: argparse.Namespace) -> int:
    """
    Run the command that the options name.

    :returns: exit code.
    :raises KeyboardInterrupt: a signal has come.
    """
    from mobilenetv2_ros.inference.backends.base import BackendError
    from mobilenetv2_ros.process_setup import set_up_process
    from mobilenetv2_ros.tools.free_domain import NoFreeDomainError
    from mobilenetv2_ros.tools.model_options import name_options

    set_up_process()
    options.stopping = watch_stop_signals()
    try:
        options.run(options)
    except (BackendError, NoFreeDomainError) as error:
        print(f'benchmark: {name_options(str(error))}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
