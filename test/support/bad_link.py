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
Two network namespaces with a bad link between them: delay, loss and cuts, whenever a test wants.

Each namespace has a TAP device, and a thread carries the Ethernet frames from one to the other. So
it needs the rights of root and ``ip``, but no netem, which not every kernel has. Nothing else is
reachable from the namespaces.
"""

from __future__ import annotations

from collections import deque
import fcntl
import os
import random
import select
import struct
import subprocess
import threading
import time
from typing import Deque, Dict, List, Tuple

_TUNSETIFF = 0x400454ca
_IFF_TAP, _IFF_NO_PI = 0x0002, 0x1000
_QUEUE = '10000'
"""Frames that a device holds for the thread: none may be lost that is not meant to be."""


class LinkError(RuntimeError):
    """Namespaces cannot be made here; the text says why."""


class BadLink:
    """The link; ``loss`` and ``is_cut`` may change at any time."""

    def __init__(self, delay: float = 0.02) -> None:
        """
        Make both namespaces.

        :param delay: seconds that a frame takes.
        :raises LinkError: that is not possible here.
        """
        self.loss = 0.0
        """Share of the frames that get lost, in each direction."""
        self.is_cut = False
        self.namespaces: List[str] = []
        self._delay = delay
        self._random = random.Random(1)
        self._devices: List[int] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._carry, daemon=True)
        try:
            for number in (1, 2):
                self._add_namespace(number)
        except (OSError, subprocess.CalledProcessError) as error:
            self._remove()
            raise LinkError(f'network namespaces cannot be made here: {error}') from None
        self._thread.start()

    def close(self) -> None:
        """Remove the namespaces."""
        self._ended.set()
        self._thread.join()
        self._remove()

    def command(self, number: int) -> List[str]:
        """Return what to put before a command so that it runs in a namespace, 0 or 1."""
        return ['ip', 'netns', 'exec', self.namespaces[number]]

    def forget_fragments_early(self) -> None:
        """Set in both namespaces what the manual advises against piles of fragments."""
        for number in (0, 1):
            subprocess.run([
                *self.command(number), 'tee', '/proc/sys/net/ipv4/ipfrag_time'], input=b'3',
                stdout=subprocess.DEVNULL, check=True)

    def _add_namespace(self, number: int) -> None:
        name, device = f'bad-link-{os.getpid()}-{number}', f'tap{os.getpid()}n{number}'
        _ip('netns', 'add', name)
        self.namespaces.append(name)
        tap = os.open('/dev/net/tun', os.O_RDWR | os.O_NONBLOCK)
        self._devices.append(tap)
        flags = _IFF_TAP | _IFF_NO_PI
        fcntl.ioctl(tap, _TUNSETIFF, struct.pack('16sH22x', device.encode(), flags))
        _ip('link', 'set', device, 'netns', name)
        _ip('-n', name, 'link', 'set', 'lo', 'up')
        _ip('-n', name, 'address', 'add', f'10.99.0.{number}/24', 'dev', device)
        _ip('-n', name, 'link', 'set', device, 'txqueuelen', _QUEUE, 'up')
        _ip('-n', name, 'route', 'add', '224.0.0.0/4', 'dev', device)

    def _remove(self) -> None:
        for tap in self._devices:  # the devices go with them
            os.close(tap)
        for name in self.namespaces:
            _ip('netns', 'delete', name)

    def _carry(self) -> None:
        first, second = self._devices
        other: Dict[int, int] = {first: second, second: first}
        under_way: Deque[Tuple[float, int, bytes]] = deque()
        while not self._ended.is_set():
            pause = under_way[0][0] - time.monotonic() if under_way else 0.1
            for tap in select.select(self._devices, (), (), max(0.0, pause))[0]:
                frame = os.read(tap, 1 << 16)
                if not self.is_cut and self._random.random() >= self.loss:
                    under_way.append((time.monotonic() + self._delay, other[tap], frame))
            while under_way and under_way[0][0] <= time.monotonic():
                _, tap, frame = under_way.popleft()
                os.write(tap, frame)


def _ip(*arguments: str) -> None:
    subprocess.run(
        ('ip', *arguments), check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
