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

"""The node in a process of its own: started, waited for, ended, and what it said."""

from __future__ import annotations

import os
from pathlib import Path
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Set

import emulated_libdnn
from mobilenetv2_ros.tools.free_domain import find_free_domain
import psutil
from support.checkout import BUNDLED_MODEL, CHECKOUT, join_python_path
from support.engines import HAS_LITERT


PATIENCE_SECONDS = 60.0
"""How long something may take that normally takes a second; machines are busy now and then."""

STOP_SIGNALS = [signal.SIGINT, signal.SIGTERM]
"""What ends a node; SIGHUP only where nohup does not make all that is started ignore it."""
if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
    STOP_SIGNALS.append(signal.SIGHUP)

RELIABLE = {
    'qos_overrides./image_raw.subscription.reliability': 'reliable',
    'qos_overrides./image_raw.subscription.depth': 100}
"""Parameters of a node that misses no image."""


def wait_until(reached: Callable[[], bool], what: Callable[[], str] = lambda: '') -> None:
    """Wait for something that another thread or process does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not reached():
        assert time.monotonic() < deadline, f'waited in vain; {what()}'
        time.sleep(0.01)


class NodeProcess:
    """The node and all that it writes to its standard error."""

    def __init__(self, command: Sequence[str], environment: Dict[str, str],
                 is_steered: bool = False) -> None:
        """
        Start it, as the leader of a process group of its own.

        :param is_steered: for :meth:`tell` and :meth:`ask`.
        """
        self.lines: List[str] = []
        self._process = subprocess.Popen(
            command, cwd=CHECKOUT, env={**os.environ, **environment}, encoding='utf-8',
            errors='replace', start_new_session=True,
            stdin=subprocess.PIPE if is_steered else subprocess.DEVNULL,
            stdout=subprocess.PIPE if is_steered else subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.usage = psutil.Process(self._process.pid)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            self.lines.append(line)

    @property
    def text(self) -> str:
        """All that it has written so far."""
        return ''.join(list(self.lines))

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def find(self, pattern: str) -> List[str]:
        """Return the lines that hold a regular expression."""
        return [line for line in list(self.lines) if re.search(pattern, line)]

    def wait_for_line(self, pattern: str, count: int = 1) -> str:
        """Return the first line that holds a regular expression, when there are ``count``."""
        wait_until(lambda: len(self.find(pattern)) >= count or not self.is_running,
                   lambda: f"no line with '{pattern}' in:\n{self.text}")
        found = self.find(pattern)
        assert len(found) >= count, f"it ended without '{pattern}':\n{self.text}"
        return found[0]

    def wait_until_active(self, count: int = 1) -> None:
        """Wait until it says that it classifies, the ``count``-th time."""
        self.wait_for_line('classifying', count)

    def tell(self, line: str) -> None:
        """Steer ``run_node_on_emulated_bpu.py``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f'{line}\n')
        self._process.stdin.flush()

    def ask(self, key: str) -> float:
        """Ask ``run_node_on_emulated_bpu.py`` for a counter of the emulator."""
        self.tell(f'get {key}')
        assert self._process.stdout is not None
        return float(self._process.stdout.readline())

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the exit code, when nothing of it is left."""
        self._process.wait(PATIENCE_SECONDS)
        self._reader.join()
        assert not self._has_group(), 'it left a process behind'
        return self._process.returncode

    def stop(self, number: signal.Signals = signal.SIGINT) -> None:
        """End it with a signal; it has to end well."""
        self.send(number)
        self.check_clean_end()

    def check_clean_end(self) -> None:
        """Wait for an end that nobody could complain about."""
        assert self.wait() == 0, self.text
        assert 'Traceback' not in self.text, self.text
        assert 'Exception' not in self.text, self.text

    def kill(self) -> None:
        """End it, if it has not ended: later its number may be another process's."""
        if self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._reader.join()

    def _has_group(self) -> bool:
        try:
            os.killpg(self._process.pid, 0)
        except ProcessLookupError:
            return False
        return True


class NodeStarter:
    """Starts nodes in one domain and ends those that are still there."""

    def __init__(self, folder: Path, library: Path) -> None:
        """
        Choose a domain.

        :param folder: for what the nodes write.
        :param library: the folder of the emulated libdnn.so.
        """
        self.domain = find_free_domain()
        self.default_model = BUNDLED_MODEL if HAS_LITERT else emulated_libdnn.MODEL
        self._environment = {
            'ROS_DOMAIN_ID': str(self.domain),
            # Neither the user's downloads nor the user's logs have to do with tests.
            'XDG_DATA_HOME': str(folder), 'ROS_LOG_DIR': str(folder / 'log'),
            'PYTHONPATH': join_python_path()}
        if not HAS_LITERT:
            self._environment.update(find_libraries_in(library))
        self._started: List[NodeProcess] = []

    def __call__(self, *arguments: str, parameters: Optional[Dict[str, object]] = None,
                 program: Sequence[str] = ('-m', 'mobilenetv2_ros.node.main'),
                 **environment: str) -> NodeProcess:
        """
        Start a node.

        :param arguments: after ``--ros-args``.
        :param parameters: of the node; the model is the default one unless they name another.
        :param program: arguments of Python that run the node.
        """
        values = {'model_path': self.default_model, **(parameters or {})}
        return self.run(
            *program, '--ros-args', *arguments, *write_parameters(values), **environment)

    def on_emulated_bpu(self, library: Path, report: Path, faults: str = '',
                        **parameters: object) -> NodeProcess:
        """
        Start a node that can be steered, see ``run_node_on_emulated_bpu.py``.

        :param library: the folder of the emulated libdnn.so.
        :param report: the emulator writes its counters there at the end.
        :param faults: settings of the emulator from the start, ``key=value,key=value``.
        """
        return self._start(
            ['-m', 'support.run_node_on_emulated_bpu', '--hurry', '--ros-args',
             *write_parameters(parameters)],
            {**find_libraries_in(library), 'EMULATED_LIBDNN': faults,
             'EMULATED_LIBDNN_REPORT': str(report)}, is_steered=True)

    def run(self, *arguments: str, **environment: str) -> NodeProcess:
        """Start Python with arguments."""
        return self._start(arguments, environment)

    def run_shell(self, command: str) -> NodeProcess:
        """Start what a line for the shell says."""
        node = NodeProcess(['sh', '-c', command], self._environment)
        self._started.append(node)
        return node

    def _start(self, arguments: Sequence[str], environment: Dict[str, str],
               is_steered: bool = False) -> NodeProcess:
        node = NodeProcess(
            [sys.executable, *arguments], {**self._environment, **environment}, is_steered)
        self._started.append(node)
        return node

    def close(self) -> None:
        """End what still runs; it has to end well."""
        for node in self._started:
            if node.is_running:
                node.stop()

    def kill(self) -> None:
        """End what a failed test left."""
        for node in self._started:
            node.kill()


def find_libraries_in(folder: Path) -> Dict[str, str]:
    """Return the environment in which libraries are looked for in a folder first."""
    # Where ROS is found through this variable too, it has to stay so.
    folders = [str(folder), *filter(None, [os.environ.get('LD_LIBRARY_PATH')])]
    return {'LD_LIBRARY_PATH': ':'.join(folders)}


def write_parameters(values: Dict[str, object]) -> Iterator[str]:
    """Write parameters as arguments of a ROS program."""
    for name, value in values.items():
        yield '-p'
        yield f'{name}:={str(value).lower() if isinstance(value, bool) else value}'


def holds_signals(process: int) -> bool:
    """Tell whether a process holds SIGINT: from there on a signal ends it well."""
    try:
        status = Path(f'/proc/{process}/status').read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    masks = [line.split()[1] for line in status.splitlines() if line.startswith('SigBlk:')]
    return bool(masks) and bool(int(masks[0], 16) >> (signal.SIGINT - 1) & 1)


def list_segments(process: psutil.Process) -> Set[Path]:
    """Return the shared memory of Fast DDS that a process uses, but no ports: they are reused."""
    try:
        files = {Path(one.path) for one in process.memory_maps()}
    except psutil.Error:  # it has ended, or is somebody else's
        return set()
    return {path for path in files if str(path.parent) == '/dev/shm'
            and path.name.startswith(('fastdds_', 'fastrtps_')) and '_port' not in path.name}
