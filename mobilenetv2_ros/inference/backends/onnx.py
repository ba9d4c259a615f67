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

from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, BackendMissingError, choose_output, even_size, ModelError, ModelInfo,
    OutputInfo, read_model_file, Session)
from mobilenetv2_ros.inference.backends.onnx_file import read_onnx
from mobilenetv2_ros.inference.backends.rgb_input import (
    count_engine_threads, find_layout, plan_input, Quantisation, RgbInput)
from mobilenetv2_ros.inference.model_description import ModelDescription
from mobilenetv2_ros.inference.ranking import Scores
import numpy as np

_INPUT_TYPES = {
    'tensor(uint8)': np.uint8, 'tensor(int8)': np.int8,
    'tensor(float)': np.float32, 'tensor(float16)': np.float16}

_OUTPUT_TYPES = ('tensor(float)', 'tensor(float16)', 'tensor(double)')
_HALF_FLOAT_STEP = 2.0 ** -11
"""Between half floats of 0.5 to 1."""

_PIXELS_AS_THEY_ARE = Quantisation(1.0, 0)
"""ONNX keeps the quantisation of an input inside the graph: integers are pixels."""


def open_model(path: Path, session_count: int, description: ModelDescription) -> Backend:
    """
    Open an ONNX model.

    :param session_count: sessions that divide the cores.
    :param description: what is known of the model.
    :raises BackendMissingError: onnxruntime is not installed.
    :raises ModelError: the file is no model or one that cannot classify images.
    """
    return _OnnxBackend(path, count_engine_threads(session_count), description)


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

    def __init__(self, path: Path, engine_threads: int, description: ModelDescription) -> None:
        self._onnxruntime = _import_onnxruntime()
        self._path = path
        self._engine_threads = engine_threads
        self._content = read_model_file(path)
        engine = self._make_engine()
        inputs = engine.get_inputs()
        if len(inputs) != 1 or inputs[0].type not in _INPUT_TYPES:
            raise ModelError(
                f"model '{path}' has inputs of type {', '.join(one.type for one in inputs)}; "
                f"expected one of {', '.join(_INPUT_TYPES)}")
        layout = find_layout(path, inputs[0].shape)
        outputs = [OutputInfo(one.name, one.type, one.shape) for one in engine.get_outputs()]
        output = outputs[choose_output(path, outputs, description.output)]
        if output.dtype not in _OUTPUT_TYPES or not _is_score_list(output.shape):
            raise ModelError(
                f"model '{path}' gives {output.dtype} of shape {list(output.shape)}; expected one "
                f"list of class scores, {' or '.join(_OUTPUT_TYPES)}")
        self._output_name = output.name
        dtype = np.dtype(_INPUT_TYPES[inputs[0].type])
        self._plan = plan_input(
            layout, dtype, description, _PIXELS_AS_THEY_ARE if dtype.kind in 'iu' else None)
        self.input_text = self._plan.text
        self.score_type = read_onnx(self._content, output.name)
        self.score_step = _HALF_FLOAT_STEP if output.dtype == 'tensor(float16)' else 0.0
        self.info = ModelInfo(
            path.stem, *even_size(layout.height, layout.width), _last_size(output.shape))

    def open_session(self) -> Session:
        return _OnnxSession(self._make_engine(), RgbInput(self._plan), self._output_name)

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

    def __init__(self, engine: Any, rgb: RgbInput, output_name: str) -> None:
        self._engine = engine
        self._output_names = [output_name]
        self._rgb = rgb
        self._input_name: str = engine.get_inputs()[0].name

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._rgb.nv12

    def run(self, timeout: float) -> Scores:
        # The engine's calls cannot be waited for in part; they end by themselves.
        try:
            outputs = self._engine.run(
                self._output_names, {self._input_name: self._rgb.fill_tensor()})
        except Exception as error:  # noqa: B902, the engine's errors share no other base
            raise BackendError(f'onnxruntime failed: {error}') from None
        scores: Scores = outputs[0].reshape(-1).astype(np.float32, copy=False)
        return scores

    def close(self) -> None:
        self._engine = None


def _is_score_list(shape: Any) -> bool:
    """Tell whether one size counts the scores, the others being 1 or left open."""
    known = [size for size in shape if isinstance(size, int)]
    return len(known) > 0 and max(known) > 0 and sum(size > 1 for size in known) <= 1


def _last_size(shape: Any) -> int:
    return max(size for size in shape if isinstance(size, int))
