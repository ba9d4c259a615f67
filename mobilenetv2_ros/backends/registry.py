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

"""Which engine opens which model file: the one table to extend for a new backend."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
import stat
from typing import Callable, Dict, List, NamedTuple

from mobilenetv2_ros.backends.base import Backend, BackendMissingError, ModelError

AUTO = 'auto'


class _Entry(NamedTuple):
    """
    A row of the table.

    :param suffix: of the model files that the engine opens.
    :param module: has ``open_model(path: Path, session_count: int) -> Backend`` and, for ``.bin``
        files, ``is_installed() -> bool``.
    :param session_count: frames in flight where the user does not say.
    """

    suffix: str
    module: str
    session_count: int


_ENTRIES: Dict[str, _Entry] = {
    # Two frames in flight keep the BPU busy, four also hide the pauses of a busy robot.
    'libdnn': _Entry('.bin', 'mobilenetv2_ros.backends.libdnn', 4),
    # Here a second one only converts its picture while the first one waits.
    'hobot_dnn': _Entry('.bin', 'mobilenetv2_ros.backends.hobot_dnn', 2),
    # On a CPU the engine's own threads use the cores.
    'litert': _Entry('.tflite', 'mobilenetv2_ros.backends.litert', 1),
    'onnx': _Entry('.onnx', 'mobilenetv2_ros.backends.onnx', 1),
}

BACKENDS = (AUTO, *_ENTRIES)
"""The values of the parameter ``backend``."""


class OpenedBackend(NamedTuple):
    """A model and how many sessions it is meant to have."""

    backend: Backend
    session_count: int


def open_backend(path: Path, kind: str = AUTO, session_count: int = 0) -> OpenedBackend:
    """
    Open a model file with the engine for its type.

    :param path: of a ``.bin``, ``.tflite`` or ``.onnx`` file.
    :param kind: one of :data:`BACKENDS`; ``auto`` takes the first one in the table that is
        installed.
    :param session_count: how many sessions will be opened, 0 for the engine's default; engines
        on the CPU divide the cores among them.
    :raises BackendMissingError: no engine for it is installed.
    :raises ModelError: the file is missing, damaged or of another type.
    :raises BackendError: the engine failed.
    """
    kinds = _find_kinds(path, kind)
    _check_file(path)
    missing: List[str] = []
    for name in kinds:
        entry = _ENTRIES[name]
        count = session_count or entry.session_count
        open_model: Callable[[Path, int], Backend] = import_module(entry.module).open_model
        try:
            return OpenedBackend(open_model(path, count), count)
        except BackendMissingError as error:
            missing.append(str(error))
    raise BackendMissingError('; '.join(missing))


def can_open_bin() -> bool:
    """Tell whether an engine for the BPU is installed on this machine."""
    return any(import_module(entry.module).is_installed()
               for entry in _ENTRIES.values() if entry.suffix == '.bin')


def _check_file(path: Path) -> None:
    try:
        if stat.S_ISREG(path.stat().st_mode):
            return
        cause = 'is no file'
    except (FileNotFoundError, NotADirectoryError):
        cause = 'does not exist'
    except (OSError, ValueError) as error:  # one that may not be entered, a name too long, a NUL
        cause = f'cannot be read ({getattr(error, "strerror", error)})'
    raise ModelError(f"model file '{path}' {cause}; set model_path to a model file")


def _find_kinds(path: Path, kind: str) -> List[str]:
    if kind != AUTO and kind not in _ENTRIES:
        raise ModelError(f"backend '{kind}' is unknown; expected one of {', '.join(BACKENDS)}")
    fitting = [name for name, entry in _ENTRIES.items() if entry.suffix == path.suffix.lower()]
    if not fitting:
        suffixes = ', '.join(sorted({entry.suffix for entry in _ENTRIES.values()}))
        raise ModelError(f"model file '{path}' is of no known type; expected one of {suffixes}")
    if kind == AUTO:
        return fitting
    if kind not in fitting:
        raise ModelError(
            f"backend '{kind}' opens {_ENTRIES[kind].suffix} files, not '{path}'; "
            f"use backend '{AUTO}' or one of {', '.join(fitting)}")
    return [kind]
