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
The backend hobot_dnn, on a stand-in with the traps that were measured in the vendor's module.

It reads raw bytes whatever it is given, has one output memory for each model, and hides failures
behind SystemError. Which backend opens a ``.bin`` file is tested here too.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any, Dict, List, Optional

from emulated_libdnn import Emulator, fingerprint_class, MODEL
from mobilenetv2_ros.inference.backends import hobot_dnn, libdnn_abi
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, BackendMissingError, ModelError, Session)
from mobilenetv2_ros.inference.backends.registry import can_open_bin, open_backend
import numpy as np
import pytest

TIMEOUT = 1.0
PROPERTIES = {
    'tensor_type': 'NV12', 'layout': 'NCHW', 'shape': (1, 3, 64, 32), 'scale_data': np.zeros(0)}


class StandIn(ModuleType):
    """``pyeasy_dnn``; its attributes say what the next ``load`` gives."""

    def __init__(self) -> None:
        super().__init__('pyeasy_dnn')
        self.loaded: List[_Model] = []
        self.load_error = ''
        self.forward_error = ''
        self.models_in_file = 1
        self.inputs: List[Dict[str, Any]] = [PROPERTIES]
        self.outputs: List[Dict[str, Any]] = [
            {**PROPERTIES, 'tensor_type': 'F32', 'shape': (1, 1000, 1, 1)}]
        self.dtype: Any = np.float32
        self.factor = 1.0

    def load(self, path: str) -> List[_Model]:
        if self.load_error:
            _raise_system_error('load', self.load_error)
        models = [_Model(self) for _ in range(self.models_in_file)]
        self.loaded += models
        return models


def _raise_system_error(function: str, cause: str) -> None:
    raise SystemError(
        f'<built-in method {function}> returned a result with an exception set'
    ) from RuntimeError(cause)


class _Model:
    """One memory for the input and one for the output, as long as the model lives."""

    def __init__(self, module: StandIn) -> None:
        self.module = module
        self.name = 'mobilenetv2_stand_in'
        self.inputs = [_tensor(one) for one in module.inputs]
        self.outputs = [_tensor(one) for one in module.outputs]
        self.image = np.full(64 * 32 * 3 // 2, 77, np.uint8)
        self.stored = np.zeros(1000, module.dtype)
        self.busy = threading.Lock()
        self.shared = False

    def forward(self, array: Any, core_id: int = 0, priority: int = 0) -> List[Any]:
        self.shared = self.shared or not self.busy.acquire(blocking=False)
        if self.module.forward_error:
            _raise_system_error('forward', self.module.forward_error)
        if isinstance(array, np.ndarray):
            count = min(array.nbytes, self.image.size)
            ctypes.memmove(self.image.ctypes.data, array.ctypes.data, count)
        y, uv = np.split(self.image.reshape(96, 32), [64])
        self.stored[:] = 0.0001 / self.module.factor
        self.stored[fingerprint_class(y, uv)] = round(0.9 / self.module.factor, 4)
        self.busy.release()
        return [_Output(self, self.outputs[0].properties)]


class _Output:
    """Copies the model's output memory when ``buffer`` is looked at, not before."""

    def __init__(self, model: _Model, properties: Any) -> None:
        self._model = model
        self.properties = properties

    @property
    def buffer(self) -> Any:
        return self._model.stored.copy().reshape(self.properties.shape)


def _tensor(properties: Dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(properties=SimpleNamespace(**properties))


@pytest.fixture(params=['hobot_dnn', 'hobot_dnn_rdkx5'])
def module(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """Install the stand-in under one of the names; there is no libdnn."""
    monkeypatch.setattr(libdnn_abi, 'LIBRARIES', ('/nowhere/libdnn.so',))
    return install(monkeypatch, request.param)


def install(monkeypatch: pytest.MonkeyPatch, name: str) -> StandIn:
    module = StandIn()
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, f'{name}.pyeasy_dnn', module)
    return module


def open_bin(kind: str = 'auto') -> Backend:
    return open_backend(MODEL, kind).backend


def draw(session: Session, seed: int) -> int:
    random = np.random.default_rng(seed)
    for plane in session.input:
        plane[:] = random.integers(0, 256, plane.shape, np.uint8)
    return fingerprint_class(*session.input)


def refusal() -> str:
    with pytest.raises(ModelError) as caught:
        open_bin()
    sentence = str(caught.value)
    assert '\n' not in sentence and str(MODEL) in sentence
    return sentence


# ----------------------------------------------------------------------------------- results

def test_the_class_is_that_of_the_image(module: StandIn) -> None:
    backend = open_bin()
    assert backend.kind == 'hobot_dnn'
    assert backend.info == ('mobilenetv2_stand_in', 64, 32, 1000)
    session = backend.open_session()
    for seed in range(5):
        expected = draw(session, seed)
        scores = session.run(TIMEOUT)
        assert scores.dtype == np.float32 and scores.shape == (1000,)
        assert scores.argmax() == expected
    session.close()
    backend.close()


def test_each_session_has_a_model_of_its_own(module: StandIn) -> None:
    """Threads that share a model get each other's results."""
    backend = open_bin()
    sessions = [backend.open_session() for _ in range(3)]
    assert len(module.loaded) == 3
    wrong: List[int] = []

    def work(session: Session, first_seed: int) -> None:
        for seed in range(first_seed, first_seed + 100):
            expected = draw(session, seed)
            if session.run(TIMEOUT).argmax() != expected:
                wrong.append(seed)

    threads = [threading.Thread(target=work, args=(session, 1000 * number))
               for number, session in enumerate(sessions)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert not any(model.shared for model in module.loaded)


def test_scores_stay_when_another_session_runs(module: StandIn) -> None:
    backend = open_bin()
    first, second = backend.open_session(), backend.open_session()
    expected = draw(first, 1)
    scores = first.run(TIMEOUT)
    draw(second, 2)
    second.run(TIMEOUT)
    assert scores.argmax() == expected


@pytest.mark.parametrize('dtype, scale', [
    (np.int8, 0.01), (np.uint8, 0.005), (np.int16, 0.001), (np.int32, 1e-6)])
@pytest.mark.parametrize('scale_count', [1, 1000])
def test_quantised_scores_are_scaled(
        module: StandIn, dtype: Any, scale: float, scale_count: int) -> None:
    module.dtype, module.factor = dtype, scale
    module.outputs = [{**module.outputs[0], 'scale_data': np.full(scale_count, scale)}]
    session = open_bin().open_session()
    expected = draw(session, 1)
    scores = session.run(TIMEOUT)
    assert scores.dtype == np.float32
    assert scores[expected] == pytest.approx(0.9, abs=scale)
    assert np.delete(scores, expected) == pytest.approx(0.0001, abs=scale)


def test_quantised_scores_without_a_scale_come_as_they_are(module: StandIn) -> None:
    module.dtype, module.factor = np.int8, 0.01
    session = open_bin().open_session()
    expected = draw(session, 1)
    assert session.run(TIMEOUT)[expected] == 90


def test_the_user_is_told_that_threads_bring_nothing(module: StandIn) -> None:
    notice = open_bin().notice
    assert 'thread_count' in notice and 'one thread' in notice and '\n' not in notice


def test_reopening_loads_nothing_anew(module: StandIn, tmp_path: Path) -> None:
    """The module never frees a model; only another file has to be loaded."""
    path = tmp_path / 'model.bin'
    path.write_bytes(MODEL.read_bytes())

    def use() -> int:
        backend = open_backend(path).backend
        sessions = [backend.open_session() for _ in range(2)]
        for session in sessions:
            expected = draw(session, 1)
            assert session.run(TIMEOUT).argmax() == expected
        for session in sessions:
            session.close()
        backend.close()
        return len(module.loaded)

    assert [use() for _ in range(5)] == [2] * 5
    path.write_bytes(MODEL.read_bytes() + b'\n')
    assert [use() for _ in range(5)] == [4] * 5


def test_a_model_that_is_refused_again_and_again_is_loaded_once(module: StandIn) -> None:
    module.outputs = []
    for _ in range(5):
        refusal()
    assert len(module.loaded) == 1


# ------------------------------------------------------------------------------ what is unsafe

def test_the_memory_of_a_session_is_safe(module: StandIn) -> None:
    """Not of this size: old pixels or a heap overflow. Not uint8 or contiguous: rubbish."""
    session: Any = open_bin().open_session()
    image = session._image
    assert image.dtype == np.uint8 and image.flags.c_contiguous and image.size == 3072
    assert np.shares_memory(session.input.y, image)
    assert np.shares_memory(session.input.uv, image)


# ---------------------------------------------------------------------------------- refusals

def test_a_file_that_cannot_be_opened(module: StandIn) -> None:
    module.load_error = 'hbDNNInitializeFromFiles failed'
    assert refusal().endswith('cannot be opened: hbDNNInitializeFromFiles failed')


def test_a_file_with_two_models(module: StandIn) -> None:
    module.models_in_file = 2
    assert 'holds 2 models; expected one' in refusal()


def test_two_inputs(module: StandIn) -> None:
    module.inputs = [PROPERTIES] * 2
    assert 'has 2 inputs and 1 outputs' in refusal()


def test_no_output(module: StandIn) -> None:
    module.outputs = []
    assert 'has 1 inputs and 0 outputs' in refusal()


@pytest.mark.parametrize('change, expected', [
    ({'tensor_type': 'RGB'}, 'of type RGB; expected NV12'),
    ({'shape': (1, 3, 63, 32)}, '32x63; NV12 needs even sides'),
    ({'shape': (3, 64, 32)}, 'expected one image'),
    ({'shape': ()}, 'expected one image')])
def test_an_input_of_another_kind(
        module: StandIn, change: Dict[str, Any], expected: str) -> None:
    module.inputs = [{**PROPERTIES, **change}]
    assert expected in refusal()


def test_channels_last(module: StandIn) -> None:
    module.inputs = [{**PROPERTIES, 'layout': 'NHWC', 'shape': (1, 64, 32, 3)}]
    assert open_bin().info[1:3] == (64, 32)


@pytest.mark.parametrize('shape', [(1, 0, 1, 1), (1, 10, 100, 1), ()])
def test_an_output_that_is_no_list_of_scores(module: StandIn, shape: Any) -> None:
    module.outputs = [{**module.outputs[0], 'shape': shape}]
    assert 'expected one list of class scores' in refusal()


def test_a_failure_of_the_engine_is_unwrapped(module: StandIn) -> None:
    session = open_bin().open_session()
    module.forward_error = 'Infer failed'
    with pytest.raises(BackendError, match='^hobot_dnn failed: Infer failed$'):
        session.run(TIMEOUT)


@pytest.mark.parametrize('dtype, change, expected', [
    (np.float32, {'shape': (1, 1008, 1, 1)}, 'gave 1000 scores; expected 1008'),
    (np.int8, {'scale_data': np.ones(7)}, '7 quantisation factors for 1000 scores')])
def test_an_answer_that_does_not_fit_is_an_error(
        module: StandIn, monkeypatch: pytest.MonkeyPatch, dtype: Any, change: Dict[str, Any],
        expected: str) -> None:
    module.dtype = dtype
    module.outputs = [{**module.outputs[0], **change}]
    monkeypatch.setattr(_Output, 'buffer', property(lambda output: output._model.stored))
    session = open_bin().open_session()
    with pytest.raises(BackendError, match=expected):
        session.run(TIMEOUT)


# ---------------------------------------------------------------------------------- the choice

def test_libdnn_is_preferred(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    module = install(monkeypatch, 'hobot_dnn')
    opened = open_backend(MODEL)
    assert (opened.backend.kind, opened.session_count) == ('libdnn', 4)
    assert not module.loaded
    opened.backend.close()


def test_the_module_can_be_asked_for(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, 'hobot_dnn')
    assert open_bin('hobot_dnn').kind == 'hobot_dnn'
    assert not emulator.get('packed_opened')


def test_without_libdnn_the_module_is_taken(module: StandIn) -> None:
    opened = open_backend(MODEL)
    assert (opened.backend.kind, opened.session_count) == ('hobot_dnn', 2)
    assert can_open_bin() and hobot_dnn.is_installed()


def test_libdnn_alone_is_asked_for_and_missing(module: StandIn) -> None:
    with pytest.raises(BackendMissingError, match='libdnn.so cannot be loaded'):
        open_bin('libdnn')
    assert not module.loaded


@pytest.mark.parametrize('kind', [None, 'libdnn', 'hobot_dnn'])
def test_nothing_is_installed(
        monkeypatch: pytest.MonkeyPatch, kind: Optional[str], tmp_path: Path) -> None:
    monkeypatch.setattr(libdnn_abi, 'LIBRARIES', (str(tmp_path / 'libdnn.so'),))
    with pytest.raises(BackendMissingError) as caught:
        open_bin(kind or 'auto')
    sentence = str(caught.value)
    assert '\n' not in sentence
    assert ('hobot-dnn' in sentence) == (kind != 'hobot_dnn')
    assert ('hobot-spdev' in sentence) == (kind != 'libdnn')
    assert ('libdnn.so cannot be loaded' in sentence) == (kind != 'hobot_dnn')
    assert ("hobot_dnn'" in sentence) == (kind != 'libdnn')
    assert not can_open_bin() and not hobot_dnn.is_installed()


def test_a_damaged_file_is_not_given_to_the_next_backend(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = install(monkeypatch, 'hobot_dnn')
    path = tmp_path / 'damaged.bin'
    path.write_bytes(b'rubbish')
    with pytest.raises(ModelError, match='-6000002'):
        open_backend(path)
    assert not module.loaded
