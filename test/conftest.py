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

"""Where the photos and models are that tests use, and the emulated BPU."""

from __future__ import annotations

from importlib.util import find_spec
import os
from pathlib import Path
import subprocess
import sys
from typing import Callable, Iterator, List, Optional, TYPE_CHECKING

from emulated_libdnn import build, count_leaks, Emulator, load, write_model
from mobilenetv2_ros.inference.backends import libdnn_abi
from mobilenetv2_ros.tools.free_domain import find_free_domain, localhost_environment
import pytest
from support.checkout import CHECKOUT, join_python_path
from support.engines import HAS_ONNX
from support.fixture_types import StartPython, TinyModel
from support.node_process import find_libraries_in, NodeStarter
from support.orphaned_buffers import free_orphaned_buffers
from support.tiny_models import write_onnx

if TYPE_CHECKING:
    from support.ros_peer import Peer

NEEDING_ROS = [
    'endurance/test_soak_node.py', 'endurance/test_start_stop.py',
    'endurance/test_storm_node.py', 'node',
    'tools/test_image_source.py', *(f'unit/node/test_{name}.py' for name in (
        'executor', 'humble_fallbacks', 'image_taking', 'receiving'))]
NEEDING_LAUNCH = ['node/test_classify_launch.py']

collect_ignore = [
    *(NEEDING_ROS if find_spec('rclpy') is None else []),
    *(NEEDING_LAUNCH if find_spec('launch_testing') is None else [])]

# Tests may import onnxruntime before the package does.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
# For all processes that tests start, too. No test meets nodes of other machines.
os.environ.update(localhost_environment(), PYTHONPATH=join_python_path())


def pytest_report_header() -> List[str]:
    """Tell what is not tested here, and why."""
    return [f'skipped, since {module} is not installed: {", ".join(paths)}'
            for module, paths in (
                ('rclpy', NEEDING_ROS), ('launch_testing', NEEDING_LAUNCH),
                ('ai_edge_litert', ['what its models find in photos']),
                ('onnxruntime', ['its models']))
            if find_spec(module) is None]


def pytest_make_parametrize_id(val: object) -> Optional[str]:
    """Name long values by their length: colcon keeps the name of every test."""
    if isinstance(val, (bytes, str)) and len(val) > 200:
        return f'{len(val)} {type(val).__name__}'
    return None


@pytest.fixture(scope='session', autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Remember what models have been tried for as long as the tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='session')
def photos() -> Path:
    """Return the folder of the photos that come with the package."""
    return CHECKOUT / 'photos'


@pytest.fixture(scope='session')
def shared_file() -> Callable[[str], Path]:
    """Return a function that finds a large test file beside the checkout or skips the test."""
    def find(name: str) -> Path:
        path = CHECKOUT.parent / 'shared' / name
        if not path.is_file():
            pytest.skip(f'{name} is not in the folder shared/ beside the checkout')
        return path

    return find


@pytest.fixture(scope='session')
def libdnn_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an emulated libdnn.so."""
    return build(tmp_path_factory.mktemp('libdnn')).parent


@pytest.fixture
def emulator(libdnn_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Make this process find the emulated libdnn, without delays; nothing may leak."""
    emulator = load(libdnn_folder / 'libdnn.so')
    emulator.reset()
    emulator.set('parallel_us', 0)
    emulator.set('serial_us', 0)
    monkeypatch.setattr(libdnn_abi, 'LIBRARIES', (str(libdnn_folder / 'libdnn.so'),))
    yield emulator
    free_orphaned_buffers()
    leaks = count_leaks(emulator)
    errors = emulator.network_errors
    emulator.set_network(None)
    emulator.reset()
    assert not leaks
    assert not errors


@pytest.fixture
def start_python(libdnn_folder: Path) -> Iterator[StartPython]:
    """Start processes that find the emulated libdnn as the dynamic loader finds it."""
    started: List[subprocess.Popen[str]] = []

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=CHECKOUT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, **find_libraries_in(libdnn_folder), **environment})
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def own_domain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process and those that it starts be among themselves."""
    monkeypatch.setenv('ROS_DOMAIN_ID', str(find_free_domain()))


@pytest.fixture
def start_node(tmp_path: Path, libdnn_folder: Path) -> Iterator[NodeStarter]:
    """Return what starts nodes, in a domain of the test's own; at the end they have to stop."""
    pytest.importorskip('rclpy', reason='ROS is not installed')

    starter = NodeStarter(tmp_path, libdnn_folder)
    try:
        yield starter
        starter.close()
    finally:
        starter.kill()


@pytest.fixture
def peer(start_node: NodeStarter) -> Iterator[Peer]:
    """Return what talks to a node named ``mobilenetv2`` in the test's domain."""
    from support.ros_peer import Peer

    peer = Peer(start_node.domain)
    yield peer
    peer.close()


@pytest.fixture
def tiny_model(request: pytest.FixtureRequest, tmp_path: Path) -> TinyModel:
    """Make a model that takes no time."""
    labels = tmp_path / 'tiny.txt'
    labels.write_text(''.join(f'class {index}\n' for index in range(192)))
    if HAS_ONNX:
        return TinyModel(write_onnx(tmp_path / 'tiny.onnx', (1, 8, 8, 3)), labels)
    request.getfixturevalue('emulator')
    return TinyModel(write_model(tmp_path / 'tiny.bin', width=8, height=8, classes=192), labels)
