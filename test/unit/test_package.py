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

"""package.xml names what the code imports."""

from __future__ import annotations

import ast
from pathlib import Path
import sys
from typing import Iterator, Set
from xml.etree import ElementTree

import pytest
from support.node_process import CHECKOUT

DEBIAN_NAMES = {
    'cv2': 'python3-opencv', 'hypothesis': 'python3-hypothesis', 'numpy': 'python3-numpy',
    'psutil': 'python3-psutil', 'pytest': 'python3-pytest', 'tqdm': 'python3-tqdm',
    'yaml': 'python3-yaml'}
"""What rosdep calls the modules that are no ROS packages."""

WITHOUT_ROSDEP = {
    'ai_edge_litert', 'ai_msgs', 'atheris', 'flatbuffers', 'hbm_img_msgs', 'onnxruntime',
    'rosbag2_py', 'rosbags'}
"""Loaded only where they are needed: by a model, a recording, TROS, a test else skipped."""


def find_imports(folder: str) -> Iterator[str]:
    """Name the modules of others that files import, without their submodules."""
    own = {'mobilenetv2_ros'} | {path.name for path in (CHECKOUT / 'test').iterdir()}
    for path in (CHECKOUT / folder).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text('utf-8'))):
            names = ([one.name for one in node.names] if isinstance(node, ast.Import) else
                     [node.module or ''] if isinstance(node, ast.ImportFrom) else [])
            # Nothing before the first dot: it is relative.
            others = {name.partition('.')[0] for name in names} - own - {''}
            yield from others - sys.stdlib_module_names


def read_dependencies(*kinds: str) -> Set[str]:
    root = ElementTree.parse(Path(CHECKOUT / 'package.xml')).getroot()
    return {str(one.text) for kind in kinds for one in root.iter(kind)}


@pytest.mark.parametrize('folder, kinds', [
    ('mobilenetv2_ros', ['exec_depend']), ('launch', ['exec_depend']),
    ('test', ['exec_depend', 'test_depend'])])
def test_what_is_imported_is_a_dependency(folder: str, kinds: Set[str]) -> None:
    needed = {DEBIAN_NAMES.get(name, name) for name in find_imports(folder)} - WITHOUT_ROSDEP
    assert needed and needed <= read_dependencies(*kinds), needed - read_dependencies(*kinds)
