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

"""The soak test of the node, short: a few thousand pictures show neither speed nor growth."""

from __future__ import annotations

from conftest import CHECKOUT, StartPython
import pytest
pytest.importorskip('rclpy', reason='ROS is not installed')

SCRIPT = CHECKOUT / 'dev' / 'soak_node.py'


def test_ten_thousand_pictures_and_ten_cameras(start_python: StartPython) -> None:
    process = start_python(SCRIPT, '--frames', '10000', '--short')
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, output + errors
    assert 'sent by 10 cameras' in output
    assert output.endswith('all as it should be\n')


def test_it_notices_results_of_other_pictures(start_python: StartPython) -> None:
    """The check of the check: each result is taken for that of the next picture."""
    process = start_python('-c', '\n'.join([
        'import runpy, sys',
        'from mobilenetv2_ros.tools.benchmark import load',
        'read_number = load.read_number',
        'load.read_number = lambda message: read_number(message) + 1',
        "sys.argv = ['soak_node.py', '--frames', '500', '--short']",
        f"runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"]))
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 1
    assert 'results of other pictures' in output
