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
A model tried in a process of its own: one that crashes its engine must not take the node along.

Engines trust what stands in a model file. So a file that nobody knows is opened and run once in a
child process, with limits, and its checksum is remembered in the user's cache folder. This module
is the child's program as well.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
import resource
import signal
import subprocess
import sys
from typing import List, Optional, Set

from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.known_models import KNOWN_MODELS, sha256_of
from mobilenetv2_ros.resources import BUNDLED_MODEL, share_folder

_MAX_SECONDS = 60
_FAILED, _OUT_OF_MEMORY = 3, 4
"""Exit codes of the child; what failed as it should is told by who opens the model next."""

_PR_SET_PDEATHSIG = 1
"""Of linux/prctl.h: the signal that a process gets when the thread ends that started it."""

_ADVICE = 'use another file, or set trust_model to open it all the same'

_PASSED: Set[str] = set()
"""Checksums, for users whose cache folder cannot be written."""


def try_model(path: Path, kind: str) -> None:
    """
    Try a model, unless it is known or has been tried before.

    :param kind: of the backend.
    :raises ModelError: it crashes its engine, takes too long or too much memory.
    """
    if path == share_folder() / BUNDLED_MODEL:
        return
    try:
        checksum = sha256_of(path)
    except OSError:
        return  # told by who opens it
    if checksum in _PASSED or any(checksum == one.sha256 for one in KNOWN_MODELS.values()):
        return
    mark = _cache_folder() / f'{checksum}.{kind}'
    if not mark.is_file():
        if not _passes(path, kind):
            return
        _remember(mark)
    _PASSED.add(checksum)


def _passes(path: Path, kind: str) -> bool:
    """Run the child; False where the engine refuses the model in order."""
    environment = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    try:
        code = subprocess.run(
            [sys.executable, '-m', __name__, os.path.abspath(path), kind], env=environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            timeout=_MAX_SECONDS).returncode
    except subprocess.TimeoutExpired:
        raise ModelError(f"model '{path}' took more than {_MAX_SECONDS} s to be tried; {_ADVICE}"
                         ) from None
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be tried: {error}; {_ADVICE}") from None
    if code == _OUT_OF_MEMORY:
        raise ModelError(f"model '{path}' needs more memory than there is; {_ADVICE}")
    if code < 0:
        raise ModelError(
            f"model '{path}' crashed its engine ({signal.Signals(-code).name}) when it was tried, "
            f'so it is probably damaged; {_ADVICE}')
    return code == 0


def _cache_folder() -> Path:
    base = os.environ.get('XDG_CACHE_HOME') or os.path.expanduser('~/.cache')
    return Path(base) / 'mobilenetv2_ros' / 'tried_models'


def _remember(mark: Path) -> None:
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError:
        pass  # it will be tried again


def main(arguments: Optional[List[str]] = None) -> int:
    """
    Open a model and run it once.

    :param arguments: path and kind of backend; by default those of the process.
    :returns: exit code.
    """
    path, kind = sys.argv[1:] if arguments is None else arguments
    # An engine that hangs would outlive a node that is ended, deaf to its stop signals.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    memory = os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    for limit, value in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_AS, memory),
                         (resource.RLIMIT_CPU, _MAX_SECONDS)):
        _, highest = resource.getrlimit(limit)
        value = value if highest == resource.RLIM_INFINITY else min(value, highest)
        resource.setrlimit(limit, (value, highest))
    from mobilenetv2_ros.inference.backends.registry import open_backend
    try:
        session = open_backend(Path(path), kind).backend.open_session()
        session.run(_MAX_SECONDS)
    except Exception as error:  # noqa: B902, who opens the model next tells it
        is_memory = isinstance(error.__cause__ or error, MemoryError)
        return _OUT_OF_MEMORY if is_memory else _FAILED
    return 0


if __name__ == '__main__':
    sys.exit(main())
