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

"""``.onnx`` models on the CPU through onnxruntime."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from mobilenetv2_ros.backends.base import (
    Backend, BackendError, BackendMissingError, check_input_size, ModelError, ModelInfo,
    read_model_file, Session)
from mobilenetv2_ros.backends.rgb_input import (
    count_engine_threads, find_layout, Quantisation, read_normalisation, RgbInput)
from mobilenetv2_ros.nv12 import Nv12
from mobilenetv2_ros.ranking import Scores
import numpy as np

_INPUT_TYPES = {
    'tensor(uint8)': np.uint8, 'tensor(int8)': np.int8,
    'tensor(float)': np.float32, 'tensor(float16)': np.float16}

_PIXELS_AS_THEY_ARE = Quantisation(1.0, 0)
"""ONNX keeps the quantisation of an input inside the graph: integers are pixels."""


def open_model(path: Path, session_count: int) -> Backend:
    """
    Open an ONNX model.

    :param session_count: sessions that divide the cores.
    :raises BackendMissingError: onnxruntime is not installed.
    :raises ModelError: the file is no model or one that cannot classify pictures.
    """
    return _OnnxBackend(path, count_engine_threads(session_count))


def _import_onnxruntime() -> Any:
    # Since 1.29 it reports its use to its maker over the network, and keeps a data base for that
    # in the user's cache, unless this is set before it is loaded.
    os.environ.setdefault('ORT_DISABLE_TELEMETRY', '1')
    try:
        import onnxruntime
    except ImportError as error:
        raise BackendMissingError(
            f'.onnx models need onnxruntime ({error}): pip install onnxruntime') from None
    return onnxruntime


class _OnnxBackend(Backend):
    kind = 'onnx'

    def __init__(self, path: Path, engine_threads: int) -> None:
        self._onnxruntime = _import_onnxruntime()
        self._path = path
        self._engine_threads = engine_threads
        self._normalisation = read_normalisation(path)
        self._content = read_model_file(path)
        engine = self._make_engine()
        inputs, outputs = engine.get_inputs(), engine.get_outputs()
        if len(inputs) != 1 or inputs[0].type not in _INPUT_TYPES:
            raise ModelError(
                f"model '{path}' has inputs of type {', '.join(one.type for one in inputs)}; "
                f"expected one of {', '.join(_INPUT_TYPES)}")
        self._layout = find_layout(path, inputs[0].shape)
        check_input_size(path, self._layout.height, self._layout.width)
        if len(outputs) != 1 or not _is_score_list(outputs[0].shape):
            raise ModelError(
                f"model '{path}' has {len(outputs)} outputs, the first of shape "
                f'{list(outputs[0].shape)}; expected one list of class scores')
        self._dtype = _INPUT_TYPES[inputs[0].type]
        self.info = ModelInfo(
            path.stem, self._layout.height, self._layout.width, _last_size(outputs[0].shape))

    def open_session(self) -> Session:
        quantisation = _PIXELS_AS_THEY_ARE if np.dtype(self._dtype).kind in 'iu' else None
        rgb = RgbInput(self._layout, self._dtype, self._normalisation, quantisation)
        return _OnnxSession(self._make_engine(), rgb)

    def close(self) -> None:
        self._content = b''

    def _make_engine(self) -> Any:
        options = self._onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._engine_threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        # Idle engine threads must sleep: by default they spin and take the robot's cores.
        options.add_session_config_entry('session.intra_op.allow_spinning', '0')
        # Large models keep their weights in files beside them.
        options.add_session_config_entry(
            'session.model_external_initializers_file_folder_path', str(self._path.parent))
        try:
            return self._onnxruntime.InferenceSession(
                self._content, options, providers=['CPUExecutionProvider'])
        except Exception as error:  # noqa: B902, the engine's errors share no other base
            raise ModelError(f"model '{self._path}' is no usable ONNX model: {error}") from None


class _OnnxSession(Session):
    """An engine of its own, with its share of the cores."""

    def __init__(self, engine: Any, rgb: RgbInput) -> None:
        self._engine = engine
        self._rgb = rgb
        self._input_name: str = engine.get_inputs()[0].name

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._rgb.nv12

    def run(self, timeout: float) -> Scores:
        # The engine's calls cannot be waited for in part; they end by themselves.
        try:
            outputs = self._engine.run(None, {self._input_name: self._rgb.fill_tensor()})
        except Exception as error:  # noqa: B902, the engine's errors share no other base
            raise BackendError(f'onnxruntime failed: {error}') from None
        scores: Scores = outputs[0].reshape(-1).astype(np.float32, copy=False)
        return scores

    def close(self) -> None:
        self._engine = None


def _is_score_list(shape: Any) -> bool:
    """Tell whether all sizes but the last one that counts are 1 or left open."""
    known = [size for size in shape if isinstance(size, int) and size != 1]
    return len(known) == 1 and known[0] > 1


def _last_size(shape: Any) -> int:
    return max(size for size in shape if isinstance(size, int))
