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

"""The walls between the rooms of the package stand: what they forbid is refused."""

from __future__ import annotations

import os
from pathlib import Path
import shutil
import subprocess
import sys

import pytest
from support.checkout import CHECKOUT

CONTRACTS = CHECKOUT / 'dev' / 'importlinter.ini'


@pytest.mark.parametrize('place, line, wall', [
    ('inference/ranking.py', 'from sensor_msgs.msg import Image', 'ROS stays in node and tools'),
    ('image/nv12.py', 'from mobilenetv2_ros.node import rcl', 'rooms import those below'),
    ('pipeline/pipeline.py', 'import mobilenetv2_ros.image.nv12', 'pipeline knows no images'),
    ('tools/evaluate.py', 'import rclpy', 'programs for files run without ROS')])
def test_a_forbidden_import_is_refused(
        tmp_path: Path, place: str, line: str, wall: str) -> None:
    pytest.importorskip('importlinter', reason='import-linter is not installed')
    package = tmp_path / 'mobilenetv2_ros'
    shutil.copytree(CHECKOUT / 'mobilenetv2_ros', package)
    with (package / place).open('a', encoding='utf-8') as file:
        file.write(f'\n{line}\n')
    done = subprocess.run(
        [Path(sys.executable).with_name('lint-imports'), '--no-cache', '--no-logo', CONTRACTS],
        cwd=tmp_path, env={**os.environ, 'PYTHONPATH': str(tmp_path)}, stdout=subprocess.PIPE,
        encoding='utf-8', timeout=120, check=False)
    assert done.returncode == 1
    broken = [one for one in done.stdout.splitlines() if ' BROKEN' in one]
    assert any(wall in one for one in broken), done.stdout
