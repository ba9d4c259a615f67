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

"""What a start leaves out, and has back once a node works."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import gc
import os
import sys

from mobilenetv2_ros.node.start_up import run_nodes, run_program


def look(spinner):
    print('works', gc.isenabled(), gc.get_freeze_count() > 0)
    spinner.stop()


def start(node, spinner):
    print('starts', gc.isenabled(), 'lark' in sys.modules, os.environ['OPENBLAS_NUM_THREADS'])
    node.create_timer(0.01, lambda: look(spinner))
    return True


def run(options):
    from rclpy.node import Node
    return run_nodes({'it': lambda: Node('it')}, start)


code = run_program('it', '', str, run, [])
print('ends', gc.isenabled(), gc.get_freeze_count())
sys.exit(code)
"""


def test_a_start_collects_no_garbage_and_imports_no_parser(own_domain: None) -> None:
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM], stdout=subprocess.PIPE, encoding='utf-8', timeout=60,
        check=True)
    assert done.stdout.splitlines() == [
        'starts False False 1', 'works True True', 'ends True 0']


PROGRAM_OF_TWO = """
import sys

from mobilenetv2_ros.node.start_up import run_nodes, run_program


def start(node, spinner):
    if node.get_name() == 'front':
        raise LookupError('oh no')
    node.create_timer(0.5, spinner.stop)
    return True


def finish(node):
    print('ends', node.get_name())
    return 0


def run(options):
    from functools import partial
    from rclpy.node import Node
    return run_nodes({name: partial(Node, name) for name in ('front', 'rear')}, start, finish)


sys.exit(run_program('it', '', str, run, []))
"""


def test_a_node_that_fails_leaves_the_others_and_shows_in_the_exit_code(own_domain: None) -> None:
    done = subprocess.run(
        [sys.executable, '-c', PROGRAM_OF_TWO], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        encoding='utf-8', timeout=60)
    assert (done.stdout, done.returncode) == ('ends rear\n', 1)
    assert '/front' in done.stderr and 'LookupError: oh no' in done.stderr
