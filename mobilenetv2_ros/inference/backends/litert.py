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
from typing import Any, Dict, List

from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, BackendMissingError, choose_output, count_scores, even_size, ModelError,
    ModelInfo, OutputInfo, read_model_file, Session)
from mobilenetv2_ros.inference.backends.rgb_input import (
    count_engine_threads, find_layout, plan_input, Quantisation, RgbInput, TensorLayout)
from mobilenetv2_ros.inference.backends.tflite_file import read_tflite
from mobilenetv2_ros.inference.model_description import ModelDescription
from mobilenetv2_ros.inference.ranking import Scores
import numpy as np
from numpy.typing import NDArray

_INPUT_TYPES = (np.uint8, np.int8, np.float32)
_OUTPUT_TYPES = (*_INPUT_TYPES, np.float16)


def open_model(path: Path, session_count: int, description: ModelDescription) -> Backend:
    """
    Open a TensorFlow Lite model.

    :param session_count: sessions that divide the cores.
    :param description: what is known of the model.
    :raises BackendMissingError: ai-edge-litert is not installed.
    :raises ModelError: the file is no model or one that cannot classify images.
    """
    return _LiteRtBackend(path, count_engine_threads(session_count), description)


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

    def __init__(self, path: Path, engine_threads: int, description: ModelDescription) -> None:
        self._interpreter_class = _import_interpreter()
        self._path = path
        self._engine_threads = engine_threads
        self._content = read_model_file(path)
        interpreter = self._make_interpreter()
        self._layout = self._check_input(interpreter)
        self._allocate(interpreter)
        outputs = interpreter.get_output_details()
        self._output = choose_output(path, [
            OutputInfo(one['name'], np.dtype(one['dtype']).name, one['shape'].tolist())
            for one in outputs], description.output)
        output = outputs[self._output]
        if output['dtype'] not in _OUTPUT_TYPES:
            raise ModelError(
                f"model '{path}' gives {np.dtype(output['dtype']).name}; expected scores of "
                'float32, float16, uint8 or int8')
        facts = read_tflite(self._content, self._output)
        details = interpreter.get_input_details()[0]
        self._plan = plan_input(self._layout, np.dtype(details['dtype']), description,
                                _quantisation(details), facts.normalisation)
        self.input_text = self._plan.text
        self.packed_labels = facts.labels
        self.score_type = facts.score_type
        self.score_step = _find_step(output)
        self.info = ModelInfo(path.stem, *even_size(self._layout.height, self._layout.width),
                              count_scores(path, output['shape'].tolist()))

    def open_session(self) -> Session:
        interpreter = self._make_interpreter()
        self._allocate(interpreter)
        return _LiteRtSession(interpreter, RgbInput(self._plan), self._output)

    def close(self) -> None:
        self._content = b''

    def _make_interpreter(self) -> Any:
        try:
            return self._interpreter_class(
                model_content=self._content, num_threads=self._engine_threads)
        except (ValueError, RuntimeError) as error:
            raise self._make_error(error) from None

    def _allocate(self, interpreter: Any) -> None:
        details = interpreter.get_input_details()[0]
        try:
            if details['shape'].tolist() != list(self._layout.shape):
                interpreter.resize_tensor_input(details['index'], self._layout.shape, strict=True)
            interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise self._make_error(error) from None

    def _make_error(self, error: Exception) -> ModelError:
        return ModelError(f"model '{self._path}' is no usable TensorFlow Lite model: {error}")

    def _check_input(self, interpreter: Any) -> TensorLayout:
        inputs = interpreter.get_input_details()
        if len(inputs) != 1 or inputs[0]['dtype'] not in _INPUT_TYPES:
            found = ', '.join(np.dtype(details['dtype']).name for details in inputs)
            raise ModelError(
                f"model '{self._path}' has inputs of type {found}; expected one of uint8, int8 "
                'or float32')
        return find_layout(self._path, _find_shape(inputs[0]))


class _LiteRtSession(Session):
    """An interpreter of its own; two threads cannot share one."""

    def __init__(self, interpreter: Any, rgb: RgbInput, output: int) -> None:
        self._interpreter = interpreter
        self._rgb = rgb
        self._input_index: int = interpreter.get_input_details()[0]['index']
        self._output_details: Dict[str, Any] = interpreter.get_output_details()[output]

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


def _find_shape(details: Dict[str, Any]) -> List[int]:
    """Tell the shape of an input, with -1 for what is left open, where ``shape`` has a 1."""
    shape: List[int] = details['shape'].tolist()
    signature: List[int] = details['shape_signature'].tolist()
    return signature if len(signature) == len(shape) else shape


def _find_step(details: Dict[str, Any]) -> float:
    is_real = np.dtype(details['dtype']).kind == 'f'
    return 0.0 if is_real else float(details['quantization'][0])


def _quantisation(details: Dict[str, Any]) -> Quantisation | None:
    scale, zero_point = details['quantization']
    return Quantisation(scale, zero_point) if details['dtype'] in (np.uint8, np.int8) else None


def _dequantise(scores: NDArray[Any], details: Dict[str, Any]) -> Scores:
    if scores.dtype.kind == 'f':
        return scores.astype(np.float32, copy=False)
    scale, zero_point = details['quantization']
    real: Scores = (scores.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
    return real
