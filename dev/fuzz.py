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
Fuzz what takes bytes from the network, and print one line for each target.

The targets are in test/fuzzing/targets.py, their small corpora in test/fuzzing/corpus/. What a
run finds on its way is kept in build/fuzz/, and a message that breaks something is written there
too.
The exit code is 1 if there is one.

    python dev/fuzz.py [--runs N] [TARGET...]
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path
import re
import subprocess
import sys
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ('image', 'compressed_image')

SECONDS_FOR_ONE = 10
MAX_MEGABYTES = 512
"""What a message may take: far less than a bomb, more than Python and OpenCV do by themselves."""


class Outcome(NamedTuple):
    """How a target did; ``said`` is all that it wrote."""

    executions: int
    per_second: int
    crashes: int
    said: str


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or '').strip().splitlines()[0])
    parser.add_argument('--runs', type=int, default=10_000_000, help='executions of each target')
    parser.add_argument('--kept', type=Path, default=ROOT / 'build' / 'fuzz',
                        help='folder for what is found')
    parser.add_argument('targets', nargs='*', metavar='TARGET', help=', '.join(TARGETS))
    arguments = parser.parse_args()
    if find_spec('atheris') is None:
        print('not fuzzed: atheris is not installed, which has wheels for Python 3.11 to 3.13 on '
              'Linux only')
        return 0
    crashes = 0
    for target in arguments.targets or TARGETS:
        outcome = fuzz(target, arguments.runs, arguments.kept / target)
        if outcome.crashes:
            print(outcome.said)
        print(f'{target}: {outcome.executions} executions, {outcome.per_second} a second, '
              f'{outcome.crashes} crash(es)', flush=True)
        crashes += outcome.crashes
    return 1 if crashes else 0


def fuzz(target: str, runs: int, kept: Path) -> Outcome:
    """
    Run a target in a process of its own, which ends with the first message that breaks it.

    :param kept: folder for new messages.
    """
    kept.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, '-m', 'fuzzing.fuzz_target', target, f'-runs={runs}',
         '-print_final_stats=1',
         f'-timeout={SECONDS_FOR_ONE}', f'-rss_limit_mb={MAX_MEGABYTES}',
         f'-artifact_prefix={kept.resolve()}/crash_',
         # libjpeg and libpng complain about each file; libFuzzer keeps its own way out.
         '-close_fd_mask=2', kept.resolve(),
         ROOT / 'test' / 'fuzzing' / 'corpus' / target],
        cwd=ROOT / 'test',
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding='utf-8', errors='replace', check=False)
    return Outcome(
        _read_statistic(done.stdout, 'number_of_executed_units'),
        _read_statistic(done.stdout, 'average_exec_per_sec'),
        int(done.returncode != 0), done.stdout[-4000:])


def _read_statistic(said: str, name: str) -> int:
    found = re.search(rf'stat::{name}:\s*(\d+)', said)
    return int(found[1]) if found else 0


if __name__ == '__main__':
    sys.exit(main())
