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
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, BackendMissingError, ModelError)
from mobilenetv2_ros.inference.backends.foreign_files import recognise
from mobilenetv2_ros.inference.model_description import describe_model, ModelDescription

AUTO = 'auto'

_EXPECTED = 'expected a .bin, .tflite or .onnx file'


class _Entry(NamedTuple):
    """
    A row of the table.

    :param suffix: of the model files that the engine opens.
    :param module: for ``.bin`` files it has ``open_model(path: Path, session_count: int) ->
        Backend`` and ``is_installed() -> bool``; for others ``open_model`` takes a
        :class:`ModelDescription` as well.
    :param session_count: frames in flight where the user does not say.
    """

    suffix: str
    module: str
    session_count: int


_ENTRIES: Dict[str, _Entry] = {
    # Two frames in flight keep the BPU busy, four also hide the pauses of a busy robot.
    'libdnn': _Entry('.bin', 'mobilenetv2_ros.inference.backends.libdnn', 4),
    # Here a second one only converts its image while the first one waits.
    'hobot_dnn': _Entry('.bin', 'mobilenetv2_ros.inference.backends.hobot_dnn', 2),
    # On a CPU the engine's own threads use the cores.
    'litert': _Entry('.tflite', 'mobilenetv2_ros.inference.backends.litert', 1),
    'onnx': _Entry('.onnx', 'mobilenetv2_ros.inference.backends.onnx', 1),
}

BACKENDS = (AUTO, *_ENTRIES)
"""The values of the parameter ``backend``."""


class OpenedBackend(NamedTuple):
    """A model and how many sessions it is meant to have."""

    backend: Backend
    session_count: int


def open_backend(path: Path, kind: str = AUTO, session_count: int = 0,
                 description: Optional[ModelDescription] = None,
                 is_trusted: bool = True) -> OpenedBackend:
    """
    Open a model file with the engine for its type.

    :param path: of a ``.bin``, ``.tflite`` or ``.onnx`` file.
    :param kind: one of :data:`BACKENDS`; ``auto`` takes the first one in the table that is
        installed.
    :param session_count: how many sessions will be opened, 0 for the engine's default; engines
        on the CPU divide the cores among them.
    :param description: what is known of the model; None to read what lies beside it.
    :param is_trusted: False to try a model for the CPU in a process of its own first, see
        :mod:`mobilenetv2_ros.inference.model_trial`.
    :raises BackendMissingError: no engine for it is installed.
    :raises ModelError: the file is missing, damaged or of another type.
    :raises BackendError: the engine failed.
    """
    foreign = recognise(path)
    if foreign:
        raise ModelError(f"model '{path}' {foreign}; {_EXPECTED}")
    kinds = _find_kinds(path, kind)
    _check_file(path)
    if description is None:
        description = describe_model(path)
    missing: List[str] = []
    for name in kinds:
        entry = _ENTRIES[name]
        count = session_count or entry.session_count
        open_model: Callable[..., Backend] = import_module(entry.module).open_model
        arguments: List[Any] = [path, count]
        if entry.suffix != '.bin':  # which was compiled with all that
            arguments.append(description)
            if not is_trusted:
                # The standard library's part in it takes longer to import than a .bin to open.
                from mobilenetv2_ros.inference.model_trial import try_model

                try_model(path, name)
        try:
            backend = open_model(*arguments)
            backend.description = description
            return OpenedBackend(backend, count)
        except BackendMissingError as error:
            missing.append(str(error))
        except BackendError:
            raise
        except Exception as error:  # noqa: B902, engines trust what stands in a model file
            raise ModelError(
                f"model '{path}' cannot be opened: {type(error).__name__}: {error}") from error
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
