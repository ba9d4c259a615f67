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
``.bin`` models through the vendor's Python module, where libdnn cannot be opened directly.

The module keeps the interpreter lock during the whole of ``forward``, so that threads gain
nothing, and waits without a limit. Threads that share a model get each other's results: each
session loads the model for itself. It checks nothing: only a contiguous uint8 array of exactly the
input's size is safe, which is what a session owns.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Dict, List, Tuple

from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, BackendMissingError, check_input_size, count_scores, ModelError,
    ModelInfo, Session)
from mobilenetv2_ros.inference.ranking import Scores
import numpy as np

_MODULES = ('hobot_dnn', 'hobot_dnn_rdkx5')
"""Under which names boards and the package registry install it."""

_NV12 = 'NV12'

_IDLE_MODELS: Dict[Tuple[Any, ...], List[Any]] = {}
"""
What is loaded and not in use, by file: the module never frees a model, and one that is reopened
whenever the BPU fails would fill the memory.
"""


def is_installed() -> bool:
    """Tell whether the module can be imported."""
    try:
        _import_module()
    except BackendMissingError:
        return False
    return True


def open_model(path: Path, session_count: int) -> Backend:
    """
    Open a model on the BPU.

    :param session_count: how often the model will be loaded; only told to the user.
    :raises BackendMissingError: the module is not installed.
    :raises ModelError: the file is damaged or takes other images than NV12.
    """
    return _HobotDnnBackend(path, _import_module())


def _import_module() -> Any:
    causes = []
    for name in _MODULES:
        try:
            return import_module(f'{name}.pyeasy_dnn')
        except ImportError as error:
            causes.append(str(error))
    raise BackendMissingError(
        f"the vendor's Python module cannot be imported ({'; '.join(causes)}); install the Debian "
        'package hobot-spdev')


class _HobotDnnBackend(Backend):
    kind = 'hobot_dnn'
    notice = (
        'libdnn.so cannot be opened directly, so the BPU is used through hobot_dnn: it lets one '
        'thread work at a time and waits without a limit, so thread_count brings little here and '
        'inference_timeout nothing; see LD_LIBRARY_PATH')

    def __init__(self, path: Path, module: Any) -> None:
        self._path = path
        self._module = module
        self._idle = _find_idle_models(path, module)
        model = self._take_model()
        self._idle.append(model)
        self.info = _read_info(path, model)

    def open_session(self) -> Session:
        return _HobotDnnSession(self._take_model(), self._idle, self.info)

    def close(self) -> None:
        """Do nothing: the models are kept for the next time, see :data:`_IDLE_MODELS`."""

    def _take_model(self) -> Any:
        return self._idle.pop() if self._idle else self._load()

    def _load(self) -> Any:
        try:
            models = self._module.load(str(self._path))
        except SystemError as error:
            raise ModelError(
                f"model '{self._path}' cannot be opened: {_find_cause(error)}") from None
        if len(models) != 1:
            raise ModelError(
                f"model file '{self._path}' holds {len(models)} models; expected one")
        return models[0]


def _find_idle_models(path: Path, module: Any) -> List[Any]:
    try:
        status = path.stat()
    except OSError as error:
        raise ModelError(f"model '{path}' cannot be read: {error}") from None
    key = module, path, status.st_ino, status.st_size, status.st_mtime_ns
    return _IDLE_MODELS.setdefault(key, [])


def _read_info(path: Path, model: Any) -> ModelInfo:
    if len(model.inputs) != 1 or len(model.outputs) != 1:
        raise ModelError(
            f"model '{path}' has {len(model.inputs)} inputs and {len(model.outputs)} outputs; "
            'expected one image in and one list of class scores out')
    height, width = _find_size(path, model.inputs[0].properties)
    count = count_scores(path, model.outputs[0].properties.shape)
    return ModelInfo(str(model.name), height, width, count)


class _HobotDnnSession(Session):

    def __init__(self, model: Any, idle: List[Any], info: ModelInfo) -> None:
        """
        Take a model over.

        :param idle: where it goes at the end.
        """
        self._model = model
        self._idle = idle
        self._score_count = info.score_count
        self._image = np.zeros((info.height * 3 // 2, info.width), np.uint8)
        self._nv12 = Nv12.over(self._image, info.height, info.width)

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._nv12

    def run(self, timeout: float) -> Scores:
        try:
            output = self._model.forward(self._image)[0]
            stored = np.asarray(output.buffer).reshape(-1)
        except SystemError as error:
            raise BackendError(f'hobot_dnn failed: {_find_cause(error)}') from None
        if stored.size != self._score_count:
            raise BackendError(
                f'hobot_dnn gave {stored.size} scores; expected {self._score_count}')
        return _dequantise(stored, output.properties)

    def close(self) -> None:
        self._idle.append(self._model)
        self._model = None


def _find_size(path: Path, properties: Any) -> List[int]:
    if _NV12 not in str(properties.tensor_type):
        raise ModelError(
            f"model '{path}' takes images of type {properties.tensor_type}; expected NV12")
    shape = [int(size) for size in properties.shape]
    size = shape[2:4] if 'NCHW' in str(properties.layout) else shape[1:3]
    if len(shape) != 4:
        raise ModelError(f"model '{path}' takes an input of shape {shape}; expected one image")
    check_input_size(path, *size)
    return size


def _dequantise(stored: np.ndarray[Any, Any], properties: Any) -> Scores:
    # A copy: the buffer may be the model's only output memory.
    real: Scores = stored.astype(np.float32)
    if stored.dtype.kind != 'f':
        scale: Scores = np.asarray(properties.scale_data, np.float32)
        if scale.size not in (0, 1, real.size):
            raise BackendError(
                f'hobot_dnn gives {scale.size} quantisation factors for {real.size} scores; '
                'expected one, or one for each score')
        real *= scale if scale.size else 1
    return real


def _find_cause(error: SystemError) -> str:
    """Unwrap what the module says; it hides each failure behind a SystemError."""
    return str(error.__cause__ or error)
