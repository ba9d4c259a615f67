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

"""What a probe looks at and what it returns."""

from __future__ import annotations

import os
from pathlib import Path
import re
from typing import Any, Callable, Dict, Iterator, List, Mapping, NamedTuple

OK, WARNING, ERROR = 'ok', 'warning', 'error'


class Finding(NamedTuple):
    """
    One line of the report.

    :param level: ``ok``, ``warning`` or ``error``.
    :param name: what was looked at.
    :param text: what was found.
    :param advice: what to do about it; empty if nothing need be done.
    """

    level: str
    name: str
    text: str
    advice: str = ''

    def to_json(self) -> Dict[str, Any]:
        """Return the fields by their names."""
        return self._asdict()

    def to_text(self) -> str:
        """Return one line."""
        advice = f': {self.advice}' if self.advice else ''
        return f'{self.level:7}  {self.name:10}  {self.text}{advice}'


class Machine(NamedTuple):
    """
    The machine that is checked; tests make one of files.

    :param root: where its file system begins.
    :param environment: the variables of the process.
    :param model_path: as the node's parameter; empty for the node's choice.
    :param seconds: how long each measurement takes.
    """

    root: Path = Path('/')
    environment: Mapping[str, str] = os.environ
    model_path: str = ''
    seconds: float = 2.0

    def read(self, path: str) -> str:
        """Read a file of one value; empty if there is none or it cannot be read."""
        try:
            content = (self.root / path).read_bytes()
        except OSError:
            return ''
        return content.rstrip(b'\0').decode(errors='replace').strip()

    def find(self, pattern: str) -> List[Path]:
        """Find files by a pattern, relative to the root."""
        return sorted(self.root.glob(pattern))

    @property
    def board(self) -> str:
        """Return the model name in the device tree; empty on a PC."""
        return self.read('proc/device-tree/model')

    @property
    def is_x5(self) -> bool:
        """Whether this is the board that the package is made for."""
        return 'x5' in self.board.lower()


Probe = Callable[[Machine], Iterator[Finding]]

_ADDRESS = re.compile(r'\b\d{1,3}(\.\d{1,3}){3}\b|\b[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}\b')
_HOME = re.compile(r'/(home|Users)/[^/\s\'":]+|/root(?=/|\b)')


class Anonymiser:
    """Makes a text fit for an issue report: one line, and nothing that names a person or host."""

    def __init__(self, home: str, user: str, host: str) -> None:
        """
        Take what must not be told.

        :param home: folder; ``~`` stands in for it, as for any other home.
        """
        self._home = home.rstrip('/')
        self._names = [
            (re.compile(rf'\b{re.escape(name)}\b'), shown)
            for name, shown in ((user, 'USER'), (host, 'HOST'))
            if name and name not in _COMMON_NAMES]

    def __call__(self, text: str) -> str:
        """Return the text without them."""
        if self._home:
            text = text.replace(self._home, '~')
        text = _ADDRESS.sub('ADDRESS', _HOME.sub('~', text))
        for name, shown in self._names:
            text = name.sub(shown, text)
        words = ' '.join(text.split())
        return ''.join(letter if letter.isprintable() else '?' for letter in words)


_COMMON_NAMES = frozenset(('root', 'sunrise', 'ubuntu', 'localhost', 'ros', 'robot'))
"""Names that tell nothing and may be part of what is told."""
