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

import os
from pathlib import Path
import subprocess
import sys
from typing import Callable, Dict, Iterator, List, NamedTuple, Protocol, TYPE_CHECKING

from emulated_libdnn import build, Emulator, load
from mobilenetv2_ros.backends import libdnn, libdnn_abi
from mobilenetv2_ros.tools.free_domain import find_free_domain
import pytest
from tiny_models import write_onnx

if TYPE_CHECKING:
    from node_process import NodeStarter
    from ros_peer import Peer

CHECKOUT = Path(__file__).resolve().parent.parent

# Tests may import onnxruntime before the package does.
os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')


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


def count_leaks(emulator: Emulator) -> Dict[str, float]:
    """Return what was taken and not given back since the last reset, empty if nothing."""
    counts = {
        f'{taken} - {given}': emulator.get(taken) - emulator.get(given)
        for taken, given in (('allocs', 'frees'), ('tasks', 'releases'),
                             ('packed_opened', 'packed_released'))}
    counts.update((key, emulator.get(key)) for key in (
        'live_memory_blocks', 'live_tasks', 'live_packed', 'use_after_free', 'write_after_free',
        'overruns'))
    return {key: count for key, count in counts.items() if count}


@pytest.fixture
def emulator(libdnn_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """Make this process find the emulated libdnn, without delays; nothing may leak."""
    emulator = load(libdnn_folder / 'libdnn.so')
    emulator.reset()
    emulator.set('parallel_us', 0)
    emulator.set('serial_us', 0)
    monkeypatch.setattr(libdnn_abi, 'LIBRARY_FOLDERS', (str(libdnn_folder),))
    yield emulator
    libdnn.free_haunted()
    leaks = count_leaks(emulator)
    errors = emulator.network_errors
    emulator.set_network(None)
    emulator.reset()
    assert not leaks
    assert not errors


class StartPython(Protocol):
    """Start Python with arguments and changes to its environment."""

    def __call__(self, *arguments: object, **environment: str) -> subprocess.Popen[str]:
        ...


@pytest.fixture
def start_python(libdnn_folder: Path) -> Iterator[StartPython]:
    """Start processes that find the emulated libdnn as the dynamic loader finds it."""
    started: List[subprocess.Popen[str]] = []
    # Where ROS is found through this variable too, it has to stay so.
    folders = [str(libdnn_folder), *filter(None, [os.environ.get('LD_LIBRARY_PATH')])]

    def start(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *map(str, arguments)], cwd=CHECKOUT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, 'LD_LIBRARY_PATH': ':'.join(folders), **environment})
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
    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')


@pytest.fixture
def start_node(tmp_path: Path) -> Iterator[NodeStarter]:
    """Return what starts nodes, in a domain of the test's own; at the end they have to stop."""
    pytest.importorskip('rclpy', reason='ROS is not installed')
    from node_process import NodeStarter

    starter = NodeStarter(tmp_path)
    try:
        yield starter
        starter.close()
    finally:
        starter.kill()


@pytest.fixture
def peer(start_node: NodeStarter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Peer]:
    """Return what talks to a node named ``mobilenetv2`` in the test's domain."""
    from ros_peer import Peer

    monkeypatch.setenv('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST')
    peer = Peer(start_node.domain)
    yield peer
    peer.close()


class TinyModel(NamedTuple):
    """A model whose scores are the picture itself, and its label file."""

    path: Path
    labels: Path

    @property
    def parameters(self) -> Dict[str, object]:
        """Those of a node that uses it."""
        return {'model_path': self.path, 'labels_path': self.labels}


@pytest.fixture
def tiny_model(tmp_path: Path) -> TinyModel:
    """Make a model that takes no time."""
    labels = tmp_path / 'tiny.txt'
    labels.write_text(''.join(f'class {index}\n' for index in range(192)))
    return TinyModel(write_onnx(tmp_path / 'tiny.onnx', (1, 8, 8, 3)), labels)
