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

"""``.tflite`` models on the CPU through LiteRT (ai-edge-litert), TensorFlow Lite of old."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from mobilenetv2_ros.backends.base import (
    Backend, BackendError, BackendMissingError, check_input_size, count_scores, ModelError,
    ModelInfo, read_model_file, Session)
from mobilenetv2_ros.backends.rgb_input import (
    count_engine_threads, find_layout, Quantisation, read_normalisation, RgbInput, TensorLayout)
from mobilenetv2_ros.nv12 import Nv12
from mobilenetv2_ros.ranking import Scores
import numpy as np
from numpy.typing import NDArray

_INPUT_TYPES = (np.uint8, np.int8, np.float32)


def open_model(path: Path, session_count: int) -> Backend:
    """
    Open a TensorFlow Lite model.

    :param session_count: sessions that divide the cores.
    :raises BackendMissingError: ai-edge-litert is not installed.
    :raises ModelError: the file is no model or one that cannot classify pictures.
    """
    return _LiteRtBackend(path, count_engine_threads(session_count))


def _import_interpreter() -> Any:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise BackendMissingError(
            f".tflite models need ai-edge-litert ({error}): pip install 'numpy<2' ai-edge-litert"
        ) from None
    return Interpreter


class _LiteRtBackend(Backend):
    kind = 'litert'

    def __init__(self, path: Path, engine_threads: int) -> None:
        self._interpreter_class = _import_interpreter()
        self._path = path
        self._engine_threads = engine_threads
        self._normalisation = read_normalisation(path)
        self._content = read_model_file(path)
        interpreter = self._make_interpreter()
        self._layout = self._check_input(interpreter)
        self.info = ModelInfo(path.stem, self._layout.height, self._layout.width,
                              self._count_scores(interpreter))

    def open_session(self) -> Session:
        interpreter = self._make_interpreter()
        details = interpreter.get_input_details()[0]
        rgb = RgbInput(
            self._layout, details['dtype'], self._normalisation, _quantisation(details))
        return _LiteRtSession(interpreter, rgb)

    def close(self) -> None:
        self._content = b''

    def _make_interpreter(self) -> Any:
        try:
            interpreter = self._interpreter_class(
                model_content=self._content, num_threads=self._engine_threads)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise ModelError(
                f"model '{self._path}' is no usable TensorFlow Lite model: {error}") from None
        return interpreter

    def _check_input(self, interpreter: Any) -> TensorLayout:
        inputs = interpreter.get_input_details()
        if len(inputs) != 1 or inputs[0]['dtype'] not in _INPUT_TYPES:
            found = ', '.join(np.dtype(details['dtype']).name for details in inputs)
            raise ModelError(
                f"model '{self._path}' has inputs of type {found}; expected one of uint8, int8 "
                'or float32')
        layout = find_layout(self._path, inputs[0]['shape'].tolist())
        check_input_size(self._path, layout.height, layout.width)
        return layout

    def _count_scores(self, interpreter: Any) -> int:
        outputs = interpreter.get_output_details()
        if len(outputs) != 1:
            raise ModelError(
                f"model '{self._path}' has {len(outputs)} outputs; expected one list of class "
                'scores')
        return count_scores(self._path, outputs[0]['shape'].tolist())


class _LiteRtSession(Session):
    """An interpreter of its own; two threads cannot share one."""

    def __init__(self, interpreter: Any, rgb: RgbInput) -> None:
        self._interpreter = interpreter
        self._rgb = rgb
        self._input_index: int = interpreter.get_input_details()[0]['index']
        self._output_details: Dict[str, Any] = interpreter.get_output_details()[0]

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._rgb.nv12

    def run(self, timeout: float) -> Scores:
        # The engine's calls cannot be waited for in part; they end by themselves.
        try:
            self._interpreter.set_tensor(self._input_index, self._rgb.fill_tensor())
            self._interpreter.invoke()
            scores = self._interpreter.get_tensor(self._output_details['index']).reshape(-1)
        except (ValueError, RuntimeError) as error:
            raise BackendError(f'LiteRT failed: {error}') from None
        return _dequantise(scores, self._output_details)

    def close(self) -> None:
        self._interpreter = None


def _quantisation(details: Dict[str, Any]) -> Quantisation | None:
    scale, zero_point = details['quantization']
    return Quantisation(scale, zero_point) if details['dtype'] in (np.uint8, np.int8) else None


def _dequantise(scores: NDArray[Any], details: Dict[str, Any]) -> Scores:
    if scores.dtype.kind == 'f':
        return scores.astype(np.float32, copy=False)
    scale, zero_point = details['quantization']
    real: Scores = (scores.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real
