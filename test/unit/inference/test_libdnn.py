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

"""The backend libdnn on the emulated BPU: results, refusals, failures, threads, leaks."""

from __future__ import annotations

import ctypes
from pathlib import Path
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, List, Optional

from emulated_libdnn import count_leaks, Emulator, fingerprint_class, MODEL, write_model
from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.backends.base import (
    Backend, BackendError, InferenceTimeoutError, ModelError, Session)
from mobilenetv2_ros.inference.backends.libdnn import (
    _LibdnnSession, _OrphanedBuffers, LibdnnBackend, open_model)
from mobilenetv2_ros.inference.classifier import ClassificationOptions
from mobilenetv2_ros.inference.loaded_model import LoadedModel
import numpy as np
import pytest
from support.fixture_types import StartPython
from support.orphaned_buffers import free_orphaned_buffers

pytestmark = pytest.mark.faults

TIMEOUT = 10.0


@pytest.fixture
def backend(emulator: Emulator) -> Iterator[Backend]:
    """Open the model that is like the vendor's."""
    backend = open_model(MODEL, 1)
    yield backend
    backend.close()


@pytest.fixture
def session(backend: Backend) -> Iterator[Session]:
    session = backend.open_session()
    yield session
    session.close()


def draw(session: Session, seed: int, classes: int = 1000) -> int:
    """Write an image of noise; return its class."""
    random = np.random.default_rng(seed)
    for plane in session.input:
        plane[:] = random.integers(0, 256, plane.shape, np.uint8)
    return fingerprint_class(*session.input, classes)


def check_run(session: Session, seed: int, classes: int = 1000) -> None:
    expected = draw(session, seed, classes)
    assert session.run(TIMEOUT).argmax() == expected


def use_model(path: Path) -> None:
    """Open, run and close as a node does."""
    backend = open_model(path, 1)
    try:
        session = backend.open_session()
        try:
            check_run(session, 1)
        finally:
            session.close()
    finally:
        backend.close()


def write_variant(folder: Path, **keys: object) -> Path:
    return write_model(folder / 'variant.bin', **keys)


def refusal(path: Path) -> str:
    """Return the sentence with which a model is refused."""
    with pytest.raises(ModelError) as caught:
        open_model(path, 1)
    sentence = str(caught.value)
    assert '\n' not in sentence and str(path) in sentence
    return sentence


# ---------------------------------------------------------------------------- right results

SIZES: Dict[str, Dict[str, int]] = {
    'of the vendor': {},
    'wide': {'width': 320, 'height': 240},
    'of no multiple of 16': {'width': 100, 'height': 60},
    'of EfficientNet lite2': {'width': 260, 'height': 260},
    'padded to no multiple of 16': {'width': 280, 'height': 280, 'input_aligned_width': 284},
    'padded more': {'width': 98, 'height': 130, 'input_aligned_width': 256},
    'tiny': {'width': 2, 'height': 2}}


@pytest.mark.parametrize('input_type', ['nv12', 'nv12_separate'])
@pytest.mark.parametrize('size', SIZES)
def test_every_input_is_read_right(
        emulator: Emulator, tmp_path: Path, input_type: str, size: str) -> None:
    backend = open_model(write_variant(tmp_path, input_type=input_type, **SIZES[size]), 1)
    session = backend.open_session()
    height, width = SIZES[size].get('height', 224), SIZES[size].get('width', 224)
    assert (backend.info.height, backend.info.width) == (height, width)
    assert session.input.y.shape == (height, width)
    assert session.input.uv.shape == (height // 2, width // 2, 2)
    for seed in range(5):
        check_run(session, seed)
    session.close()
    backend.close()


QUANTISATIONS: Dict[str, Dict[str, Any]] = {
    'f32': {},
    'f32 with leftover factors': {'quanti': 'scale', 'scale': 1 / 127, 'zero_point': 3},
    'f32 with a leftover shift': {'quanti': 'shift', 'shift': 7},
    'f16': {},
    'f16 with leftover factors': {'quanti': 'scale', 'scale': 1 / 127, 'per_channel': 1},
    'u8 scale': {'quanti': 'scale', 'scale': 1 / 255},
    'u8 scale zero': {'quanti': 'scale', 'scale': 1 / 200, 'zero_point': 12},
    's8 scale': {'quanti': 'scale', 'scale': 1 / 127},
    's8 scale zero': {'quanti': 'scale', 'scale': 1 / 200, 'zero_point': -100},
    's8 scale per channel': {'quanti': 'scale', 'scale': 1 / 127, 'per_channel': 1},
    's8 scale per channel zero': {
        'quanti': 'scale', 'scale': 1 / 127, 'per_channel': 1, 'zero_point': -9},
    's16 scale': {'quanti': 'scale', 'scale': 1 / 32767},
    's32 scale per channel': {'quanti': 'scale', 'scale': 1e-9, 'per_channel': 1},
    's8 shift': {'quanti': 'shift', 'shift': 7},
    'u8 shift per channel': {'quanti': 'shift', 'shift': 8, 'per_channel': 1},
    's16 shift': {'quanti': 'shift', 'shift': 15},
    's32 shift per channel': {'quanti': 'shift', 'shift': 30, 'per_channel': 1}}

OUTPUT_PLACES: Dict[str, Dict[str, Any]] = {
    'nchw': {},
    'nchw padded classes': {'aligned_classes': 1024},
    'nchw padded columns': {'aligned_classes': 1008, 'output_aligned_width': 4},
    'nhwc': {'output_layout': 'nhwc'},
    'nhwc padded': {'output_layout': 'nhwc', 'aligned_classes': 1024}}


def expect_scores(best: int, classes: int) -> np.ndarray:
    """Return the probabilities that the emulated network gives."""
    scores = np.full(classes, 0.1 / (classes - 1))
    scores[best] = 0.9
    return scores


def find_step(name: str, keys: Dict[str, Any]) -> float:
    """Return the largest difference between neighbouring stored values."""
    if name.startswith('f32'):
        return 1e-7
    if name.startswith('f16'):
        return 1e-3
    if keys['quanti'] == 'scale':
        return float(keys['scale'] * 1.375)
    return 2.0 ** (1 - keys['shift'])


@pytest.mark.parametrize('place', OUTPUT_PLACES)
@pytest.mark.parametrize('quantisation', QUANTISATIONS)
def test_every_output_is_read_right(
        emulator: Emulator, tmp_path: Path, quantisation: str, place: str) -> None:
    keys = QUANTISATIONS[quantisation]
    backend = open_model(write_variant(
        tmp_path, output_type=quantisation.split()[0], **keys, **OUTPUT_PLACES[place]), 1)
    session = backend.open_session()
    for seed in range(3):
        expected = draw(session, seed)
        scores = session.run(TIMEOUT)
        assert scores.dtype == np.float32 and scores.shape == (1000,)
        np.testing.assert_allclose(
            scores, expect_scores(expected, 1000), rtol=1e-6,
            atol=0.51 * find_step(quantisation, keys))
    session.close()
    backend.close()


@pytest.mark.parametrize('keys', [
    {'output_type': 'f32'}, {'output_type': 'f16'},
    {'output_type': 's8', 'quanti': 'scale', 'scale': 0.08}])
def test_logits_come_as_they_are(
        emulator: Emulator, tmp_path: Path, keys: Dict[str, Any]) -> None:
    backend = open_model(write_variant(tmp_path, logits=True, classes=1001, **keys), 1)
    assert backend.info.score_count == 1001
    session = backend.open_session()
    expected = draw(session, 1, 1001)
    np.testing.assert_allclose(
        session.run(TIMEOUT), np.log(expect_scores(expected, 1001)), atol=0.05)
    session.close()
    backend.close()


def test_the_model_tells_what_it_is(backend: Backend) -> None:
    assert backend.kind == 'libdnn' and not backend.notice
    assert backend.info == ('mobilenetv2_224x224_nv12', 224, 224, 1000)


def test_a_path_of_any_bytes_is_opened(emulator: Emulator, tmp_path: Path) -> None:
    path = tmp_path / 'gr\u00fcn \udcff.bin'
    path.write_bytes(MODEL.read_bytes())
    use_model(path)


# --------------------------------------------------------------------------------- refusals

@pytest.mark.parametrize('keys, expected', [
    ({'input_type': 'rgb'}, 'takes images of type RGB; expected NV12'),
    ({'input_type': 'yuv444'}, 'takes images of type YUV444; expected NV12'),
    ({'input_type': 'y'}, 'takes images of type Y; expected NV12'),
    ({'name': 'one,two'}, 'holds 2 models (one, two); expected one'),
    ({'input_count': 2}, 'has 2 inputs'),
    ({'output_count': 3}, 'has 3 outputs'),
    ({'output_count': 0}, 'has 0 outputs')])
def test_a_model_of_another_kind_is_refused(
        emulator: Emulator, tmp_path: Path, keys: Dict[str, Any], expected: str) -> None:
    assert expected in refusal(write_variant(tmp_path, **keys))


@pytest.mark.parametrize('content, code', [
    (b'', -6000002),
    (MODEL.read_bytes()[:15], -6000002),
    (MODEL.read_bytes()[:70], -6000002),
    (b'\x7fELF' + bytes(range(256)), -6000002),
    (MODEL.read_bytes().replace(b'height=224', b'height=\xff24'), -6000002),
    (MODEL.read_bytes().replace(b'MODEL 1', b'MODEL 2'), -6000014)])
def test_a_damaged_file_is_refused(
        emulator: Emulator, tmp_path: Path, content: bytes, code: int) -> None:
    path = tmp_path / 'damaged.bin'
    path.write_bytes(content)
    assert f'cannot be opened: hbDNNInitializeFromFiles failed with {code}' in refusal(path)


def test_a_missing_file_and_a_folder_are_refused(emulator: Emulator, tmp_path: Path) -> None:
    for path in (tmp_path / 'missing.bin', tmp_path):
        assert 'failed with -6000006, cannot open the file: check' in refusal(path)


def change_answer(monkeypatch: pytest.MonkeyPatch, function: str,
                  change: Callable[[Any], None]) -> None:
    """Change what a function has written to its first argument, which is passed by reference."""
    call = abi.Library.call

    def changed(library: abi.Library, name: str, *arguments: Any) -> None:
        call(library, name, *arguments)
        if name == function:
            change(arguments[0]._obj)

    monkeypatch.setattr(abi.Library, 'call', changed)


def set_shape(shape: abi.TensorShape, *sizes: int) -> None:
    shape.dimensionSize[:] = [*sizes, *[0] * (8 - len(sizes))]
    shape.numDimensions = len(sizes)


def set_scale_count(properties: abi.TensorProperties, count: int) -> None:
    properties.tensorType = abi.TYPE_NAMES.index('S8')
    properties.quantiType, properties.scale.scaleLen = abi.QUANTI_SCALE, count


INPUT, OUTPUT = 'hbDNNGetInputTensorProperties', 'hbDNNGetOutputTensorProperties'


@pytest.mark.parametrize('function, change, expected', [
    (INPUT, lambda p: set_shape(p.validShape, 1, 3, 225, 224), '224x225; NV12 needs even sides'),
    (INPUT, lambda p: set_shape(p.validShape, 1, 3, 224, 0), '0x224; NV12 needs even sides'),
    (INPUT, lambda p: set_shape(p.validShape, 2, 3, 224, 224), 'expected one image'),
    (INPUT, lambda p: set_shape(p.validShape, 3, 224, 224), 'expected one image'),
    (INPUT, lambda p: setattr(p, 'tensorType', 99), 'of type 99; expected NV12'),
    (OUTPUT, lambda p: setattr(p, 'tensorType', abi.TYPE_NAMES.index('S4')), 'of type S4'),
    (OUTPUT, lambda p: setattr(p, 'tensorType', abi.TYPE_NAMES.index('F64')), 'of type F64'),
    (OUTPUT, lambda p: setattr(p, 'tensorType', -1), 'of type -1'),
    (OUTPUT, lambda p: set_shape(p.validShape, 1, 10, 10, 10), 'expected one list of class'),
    (OUTPUT, lambda p: set_shape(p.validShape), 'expected one list of class scores'),
    (OUTPUT, lambda p: set_shape(p.alignedShape, 1, 999, 1, 1), 'expected room for all scores'),
    (OUTPUT, lambda p: set_shape(p.alignedShape, 1000), 'expected room for all scores'),
    (OUTPUT, lambda p: setattr(p, 'alignedByteSize', 3999), 'expected room for all scores'),
    (OUTPUT, lambda p: set_scale_count(p, 7), '7 quantisation factors for 1000 scores'),
    (OUTPUT, lambda p: set_scale_count(p, 1), 'quantisation factors')])
def test_a_tensor_of_another_kind_is_refused(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch, function: str,
        change: Callable[[Any], None], expected: str) -> None:
    change_answer(monkeypatch, function, change)
    assert expected in refusal(MODEL)


def test_a_model_with_its_channels_last_is_read_right(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def put_channels_last(properties: abi.TensorProperties) -> None:
        properties.tensorLayout = abi.LAYOUT_NHWC
        set_shape(properties.validShape, 1, 60, 100, 3)
        set_shape(properties.alignedShape, 1, 60, 112, 3)

    change_answer(monkeypatch, INPUT, put_channels_last)
    backend = open_model(write_variant(tmp_path, width=100, height=60), 1)
    session = backend.open_session()
    assert session.input.y.shape == (60, 100) and session.input.y.strides == (112, 1)
    session.close()
    backend.close()


# ---------------------------------------------------------------------------------- flushes

@pytest.mark.parametrize('forgotten', [abi.FLUSH_CLEAN, abi.FLUSH_INVALIDATE])
def test_a_forgotten_flush_would_be_noticed(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch, forgotten: int) -> None:
    bind = abi.Library.bind

    def forget(library: abi.Library, name: str, *arguments: Any) -> Callable[..., int]:
        if name == 'hbSysFlushMem' and arguments[1] == forgotten:
            return lambda: 0
        return bind(library, name, *arguments)

    monkeypatch.setattr(abi.Library, 'bind', forget)
    backend = open_model(MODEL, 1)
    session = backend.open_session()
    for seed in range(3):
        expected = draw(session, seed)
        assert session.run(TIMEOUT).argmax() != expected
    session.close()
    backend.close()


@pytest.mark.parametrize('input_type, planes', [('nv12', 1), ('nv12_separate', 2)])
def test_each_piece_of_memory_is_flushed_once_per_frame(
        emulator: Emulator, tmp_path: Path, input_type: str, planes: int) -> None:
    backend = open_model(write_variant(tmp_path, input_type=input_type), 1)
    session = backend.open_session()
    allocated = emulator.get('allocs')
    for seed in range(10):
        check_run(session, seed)
    assert emulator.get('flushes_clean') == 10 * planes
    assert emulator.get('flushes_invalidate') == 10
    assert emulator.get('allocs') == allocated == planes + 1
    session.close()
    backend.close()


# --------------------------------------------------------------------------------- failures

OPENING = (
    'hbDNNInitializeFromFiles', 'hbDNNGetModelNameList', 'hbDNNGetModelHandle',
    'hbDNNGetInputCount', 'hbDNNGetOutputCount', 'hbDNNGetInputTensorProperties',
    'hbDNNGetOutputTensorProperties')
EACH_FRAME = ('hbSysFlushMem', 'hbDNNInfer', 'hbDNNWaitTaskDone', 'hbDNNReleaseTask', 'task')


def fail_once(emulator: Emulator, function: str, code: int = -6000012) -> None:
    emulator.set(f'fail_code.{function}', code)
    emulator.set(f'fail_next.{function}', 1)


def has_failed(emulator: Emulator, function: str) -> bool:
    return emulator.get(f'injected.{function}') == 1


@pytest.mark.parametrize('function', OPENING)
def test_a_failure_while_opening(emulator: Emulator, function: str) -> None:
    fail_once(emulator, function, -6000007)
    with pytest.raises(BackendError, match=f'{function} failed with -6000007, out of memory: '):
        use_model(MODEL)
    assert has_failed(emulator, function) and not count_leaks(emulator)
    use_model(MODEL)


@pytest.mark.parametrize('function', EACH_FRAME)
def test_a_failure_in_a_frame(emulator: Emulator, session: Session, function: str) -> None:
    check_run(session, 1)
    fail_once(emulator, function)
    draw(session, 2)
    named = 'hbDNNWaitTaskDone' if function == 'task' else function
    with pytest.raises(BackendError, match=f'{named} failed with -6000012'):
        session.run(TIMEOUT)
    assert has_failed(emulator, function)
    assert emulator.get('tasks') == emulator.get('releases')
    check_run(session, 3)


def test_a_failed_invalidate(emulator: Emulator, tmp_path: Path) -> None:
    backend = open_model(write_variant(tmp_path, network='callback', classes=10), 1)
    session = backend.open_session()

    def fail_after_this(image: np.ndarray) -> np.ndarray:
        fail_once(emulator, 'hbSysFlushMem', -6000129)
        return np.zeros(10)

    emulator.set_network(fail_after_this)
    with pytest.raises(BackendError, match='hbSysFlushMem failed with -6000129'):
        session.run(TIMEOUT)
    assert emulator.get('flushes_clean') == 1 and not emulator.get('flushes_invalidate')
    assert emulator.get('tasks') == emulator.get('releases') == 1
    session.close()
    backend.close()


def test_a_wait_that_fails_while_the_task_still_runs(
        emulator: Emulator, session: Session) -> None:
    """The memory may only be used, or freed, when the BPU has let go of it."""
    emulator.set('slow_us', 100_000)
    fail_once(emulator, 'hbDNNWaitTaskDone')
    with pytest.raises(BackendError, match='hbDNNWaitTaskDone failed with -6000012'):
        session.run(TIMEOUT)
    assert emulator.get('inferences') == 1
    session.close()
    assert not emulator.get('use_after_free')


def interrupt(session: Session) -> None:
    """Begin an inference; Ctrl-C comes before it is waited for."""
    def wait(_: int) -> None:
        raise KeyboardInterrupt

    draw(session, 1)
    assert isinstance(session, _LibdnnSession) and session._frame is not None
    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(session._frame, 'wait', wait)
        session.run(TIMEOUT)


@pytest.mark.parametrize('is_used_again', [True, False])
def test_an_inference_that_is_interrupted_keeps_its_memory(
        emulator: Emulator, is_used_again: bool) -> None:
    backend = open_model(MODEL, 1)
    session = backend.open_session()
    emulator.set('slow_us', 100_000)
    interrupt(session)
    if is_used_again:
        check_run(session, 2)
    session.close()
    assert not emulator.get('use_after_free')
    backend.close()
    settle()


@pytest.mark.parametrize('function', ['hbDNNInfer', 'task'])
def test_a_model_for_another_chip_is_suspected_until_one_inference_succeeds(
        emulator: Emulator, session: Session, function: str) -> None:
    suspicion = 'may be compiled for another chip; use a model for RDK X5'
    for _ in range(2):
        fail_once(emulator, function)
        with pytest.raises(BackendError, match=suspicion):
            session.run(TIMEOUT)
    check_run(session, 1)
    fail_once(emulator, function)
    with pytest.raises(BackendError) as caught:
        session.run(TIMEOUT)
    assert 'chip' not in str(caught.value) and 'dmesg' in str(caught.value)


def test_a_model_that_worked_before_it_was_reopened_is_not_suspected(emulator: Emulator) -> None:
    model = LoadedModel(str(MODEL))
    model.reopen(TIMEOUT)
    emulator.set('fail.task', -6000012)
    for attempt in (lambda: model.classifiers[0].forward(ClassificationOptions()),
                    lambda: model.reopen(TIMEOUT), lambda: model.reopen(TIMEOUT)):
        with pytest.raises(BackendError) as caught:
            attempt()
        assert 'chip' not in str(caught.value) and 'dmesg' in str(caught.value)
    emulator.set('fail.task', 0)
    model.reopen(TIMEOUT)
    model.close()


def test_a_forked_process_is_not_told_of_another_chip(emulator: Emulator) -> None:
    emulator.set('fail.hbDNNInfer', -6000016)
    with pytest.raises(BackendError, match='used from several processes: start .* anew'):
        LoadedModel(str(MODEL), backend='libdnn')


def test_opening_a_model_for_another_chip_tells_of_it(emulator: Emulator) -> None:
    emulator.set('fail.task', -6000012)
    with pytest.raises(BackendError, match='hbDNNWaitTaskDone failed .* for another chip'):
        LoadedModel(str(MODEL), backend='libdnn')


@pytest.mark.parametrize('cause, code', [('busy', -6000009), ('hang', -6000008)])
def test_too_much_work_is_not_blamed_on_the_model(
        emulator: Emulator, session: Session, cause: str, code: int) -> None:
    emulator.set(cause, 1)
    with pytest.raises(BackendError, match=str(code)) as caught:
        session.run(0.02)
    assert 'chip' not in str(caught.value)
    emulator.set(cause, 0)


def test_the_library_describes_its_errors_itself(emulator: Emulator, session: Session) -> None:
    emulator.set('busy', 1)
    with pytest.raises(BackendError, match='-6000009, too many tasks: lower'):
        session.run(TIMEOUT)
    emulator.set('busy', 0)
    fail_once(emulator, 'task')
    with pytest.raises(BackendError, match=r'failed on the BPU \(libdnn: "Run task failed"\): '):
        session.run(TIMEOUT)


@pytest.mark.parametrize('function', ['hbSysFreeMem', 'hbDNNRelease'])
def test_a_failure_while_closing(emulator: Emulator, function: str) -> None:
    fail_once(emulator, function, -6000129)
    with pytest.raises(BackendError, match=f'{function} failed with -6000129'):
        use_model(MODEL)
    assert has_failed(emulator, function) and not count_leaks(emulator)
    use_model(MODEL)


def test_the_cause_is_told_even_if_closing_fails_too(emulator: Emulator, tmp_path: Path) -> None:
    for function, cause in (('hbDNNRelease', 'hbDNNGetModelHandle'),
                            ('hbSysFreeMem', 'hbSysAllocCachedMem')):
        fail_once(emulator, function)
        if function == 'hbSysFreeMem':
            emulator.set('memory_limit_bytes', 75264)
        else:
            fail_once(emulator, cause)
        with pytest.raises(BackendError, match=cause) as caught:
            use_model(MODEL)
        assert function in str(caught.value.__cause__)
        assert has_failed(emulator, function) and not count_leaks(emulator)


@pytest.mark.parametrize('input_type, fitting', [
    ('nv12', 0), ('nv12', 75264), ('nv12_separate', 224 * 224), ('nv12_separate', 75264)])
def test_no_memory_for_a_session(
        emulator: Emulator, tmp_path: Path, input_type: str, fitting: int) -> None:
    backend = open_model(write_variant(tmp_path, input_type=input_type), 1)
    emulator.set('memory_limit_bytes', fitting + 1)
    with pytest.raises(BackendError, match='hbSysAllocCachedMem failed with -6000130, out of BPU'):
        backend.open_session()
    assert not emulator.get('live_bytes')
    emulator.set('memory_limit_bytes', 0)
    session = backend.open_session()
    check_run(session, 1)
    session.close()
    backend.close()


def test_a_second_session_without_memory_leaves_the_first(
        emulator: Emulator, backend: Backend, session: Session) -> None:
    emulator.set('memory_limit_bytes', 100_000)
    with pytest.raises(BackendError, match='lower thread_count'):
        backend.open_session()
    check_run(session, 1)


def test_too_many_tasks(emulator: Emulator, session: Session) -> None:
    emulator.set('busy', 1)
    with pytest.raises(BackendError, match='hbDNNInfer failed with -6000009, too many tasks'):
        session.run(TIMEOUT)
    emulator.set('busy', 0)
    check_run(session, 1)


def test_nan_is_passed_on(emulator: Emulator, session: Session) -> None:
    emulator.set('nan', 1)
    assert np.isnan(session.run(TIMEOUT)).all()
    emulator.set('nan', 0)
    check_run(session, 1)


# --------------------------------------------------------------------------------- timeouts

def wait_until(reached: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not reached():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def time_out(session: Session) -> str:
    with pytest.raises(InferenceTimeoutError) as caught:
        session.run(0.02)
    return str(caught.value)


def test_a_late_answer_is_told_and_the_next_image_is_right(
        emulator: Emulator, session: Session) -> None:
    emulator.set('hang', 1)
    draw(session, 1)
    late = session.input
    sentence = time_out(session)
    assert 'within inference_timeout, 0.02 s' in sentence and '-6000008' in sentence
    emulator.set('hang', 0)
    wait_until(lambda: emulator.get('inferences') == 1)
    check_run(session, 2)
    assert session.input is not late


def test_the_late_task_cannot_touch_the_next_image(
        emulator: Emulator, session: Session) -> None:
    emulator.set('slow_us', 50_000)
    draw(session, 1)
    time_out(session)
    expected = draw(session, 2)
    assert session.run(TIMEOUT).argmax() == expected
    assert not emulator.get('use_after_free')


def test_a_run_after_a_timeout_without_a_new_image_leaks_nothing(
        emulator: Emulator, session: Session) -> None:
    emulator.set('hang_next', 1)
    time_out(session)
    session.run(TIMEOUT)
    expected = draw(session, 2)
    assert session.run(TIMEOUT).argmax() == expected


def test_memory_of_a_late_task_comes_back_when_it_is_done(
        emulator: Emulator, session: Session) -> None:
    emulator.set('hang', 1)
    time_out(session)
    emulator.set('hang', 0)
    wait_until(lambda: emulator.get('inferences') == 1)
    emulator.set('hang', 1)
    time_out(session)
    assert emulator.get('live_tasks') == 1
    assert emulator.get('live_memory_blocks') == 2
    assert not emulator.get('use_after_free')
    emulator.set('hang', 0)


def test_a_bpu_that_hangs_is_given_no_more_work_until_it_goes_on(
        emulator: Emulator, session: Session) -> None:
    emulator.set('hang', 1)
    for seed in range(8):
        draw(session, seed)
        assert 'did not answer' in time_out(session)
    draw(session, 8)
    assert '8 inferences never finished: the BPU hangs' in time_out(session)
    assert emulator.get('tasks') == 8
    emulator.set('hang', 0)
    wait_until(lambda: emulator.get('inferences') == 8)
    check_run(session, 9)
    assert emulator.get('live_tasks') == 0 and not emulator.get('use_after_free')


@pytest.mark.parametrize('failing', [None, 'hbDNNReleaseTask', 'hbSysFreeMem'])
def test_closing_gives_back_what_hangs(
        emulator: Emulator, failing: Optional[str]) -> None:
    """The memory only when a later task is done: until then the BPU may write to it."""
    backend = open_model(MODEL, 1)
    sessions = [backend.open_session() for _ in range(3)]
    emulator.set('hang_next', 3)
    for session in sessions:
        time_out(session)
        session.close()
    assert emulator.get('live_tasks') == 3
    if failing is None:
        backend.close()
    else:
        fail_once(emulator, failing)
        with pytest.raises(BackendError, match=failing):
            backend.close()
            free_orphaned_buffers()
    assert not emulator.get('live_tasks') and not emulator.get('live_packed')
    settle()
    assert not count_leaks(emulator)


def settle() -> None:
    """Do what an engine does when it has been opened and works."""
    backend = open_model(MODEL, 1)
    session = backend.open_session()
    check_run(session, 1)
    backend.settle()
    session.close()
    backend.close()


def test_a_late_answer_finds_its_memory_even_if_the_model_is_closed(emulator: Emulator) -> None:
    emulator.set('hang', 1)
    backend = open_model(MODEL, 1)
    session = backend.open_session()
    time_out(session)
    session.close()
    backend.close()
    assert emulator.get('live_memory_blocks') == 2 and not emulator.get('use_after_free')
    emulator.set('hang', 0)
    settle()
    assert emulator.get('inferences') == 2
    assert not count_leaks(emulator)


def leave_an_orphan(emulator: Emulator) -> None:
    """Close a model whose task still hangs, as another node of this process may do."""
    emulator.set('hang_next', 1)
    backend = open_model(MODEL, 1)
    session = backend.open_session()
    time_out(session)
    session.close()
    backend.close()


def test_memory_that_was_orphaned_after_an_inference_is_not_freed_for_it(
        emulator: Emulator, backend: Backend, session: Session) -> None:
    leave_an_orphan(emulator)
    check_run(session, 1)
    backend.settle()
    assert emulator.get('live_memory_blocks') == 4
    settle()
    assert emulator.get('live_memory_blocks') == 2


class CountedFrame:
    """What is orphaned, counting how often it is freed."""

    def __init__(self) -> None:
        self.freed = 0

    def free(self) -> None:
        self.freed += 1


def test_nodes_in_one_process_share_the_orphaned_buffers() -> None:
    orphaned = _OrphanedBuffers()
    frames: List[Any] = [CountedFrame() for _ in range(6_000)]
    errors: List[BaseException] = []

    def orphan_and_free(first: int) -> None:
        try:
            for frame in frames[first::3]:
                orphaned.add(frame)
                orphaned.free(orphaned.list())
        except BaseException as error:  # noqa: B902 told by the thread that started this one
            errors.append(error)

    threads = [threading.Thread(target=orphan_and_free, args=(first,)) for first in range(3)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert not errors
    assert {frame.freed for frame in frames} == {1}


def test_a_bpu_that_hangs_for_days_does_not_cost_more_and_more(
        emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr('mobilenetv2_ros.inference.backends.libdnn._LAST_WAIT_MS', 1)
    emulator.set('hang_next', 40)
    for _ in range(40):
        backend = open_model(MODEL, 1)
        session = backend.open_session()
        time_out(session)
        session.close()
        backend.close()
    assert emulator.get('live_memory_blocks') == 64
    settle()


@pytest.mark.parametrize('function', ['hbDNNReleaseTask', 'hbSysFreeMem', 'hbDNNRelease'])
def test_what_is_never_taken_back_is_offered_again(emulator: Emulator, function: str) -> None:
    emulator.set(f'fail.{function}', -6000012)
    with pytest.raises(BackendError):
        use_model(MODEL)
    assert count_leaks(emulator)
    emulator.set(f'fail.{function}', 0)
    use_model(MODEL)
    assert not count_leaks(emulator)


# ---------------------------------------------------------------------------------- threads

def test_four_threads_get_their_own_results(emulator: Emulator, backend: Backend) -> None:
    wrong: List[int] = []

    def work(first_seed: int) -> None:
        session = backend.open_session()
        images = []
        for seed in range(first_seed, first_seed + 8):
            expected = draw(session, seed)
            images.append((session.input.y.copy(), session.input.uv.copy(), expected))
        for frame in range(1500):
            y, uv, expected = images[frame % 8]
            session.input.y[:], session.input.uv[:] = y, uv
            if session.run(TIMEOUT).argmax() != expected:
                wrong.append(frame)
        session.close()

    threads = [threading.Thread(target=work, args=(100 * number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert emulator.get('inferences') == 6000


def test_several_frames_are_in_flight(emulator: Emulator, backend: Backend) -> None:
    emulator.set('hang', 1)
    threads = []
    for seed in range(4):
        session = backend.open_session()
        draw(session, seed)
        threads.append(threading.Thread(
            target=lambda one: (one.run(TIMEOUT), one.close()), args=(session,)))
        threads[-1].start()
    wait_until(lambda: emulator.get('live_tasks') == 4)
    emulator.set('hang', 0)
    for thread in threads:
        thread.join()


def test_python_runs_on_while_a_thread_waits(emulator: Emulator, tmp_path: Path) -> None:
    """The network is a Python function here: without the lock it cannot answer."""
    backend = LibdnnBackend(
        write_variant(tmp_path, network='callback', classes=10), abi.Library())
    session = backend.open_session()
    emulator.set_network(lambda image: np.arange(10) / 45)
    assert session.run(TIMEOUT).argmax() == 9
    wait_until(lambda: emulator.get('inferences') == 1)
    session.close()
    backend.close()


def test_only_the_short_calls_of_a_frame_keep_the_interpreter_lock(emulator: Emulator) -> None:
    library = abi.Library()
    bound: Dict[str, Any] = {
        name: library.bind(name).func for name in library._functions}
    keeping = ctypes.PyDLL._func_flags_
    for functions in (library._functions, bound):
        assert {name for name, function in functions.items() if function._flags_ == keeping
                } == {'hbSysFlushMem', 'hbDNNInfer', 'hbDNNReleaseTask'}


def test_the_dynamic_loader_finds_it_in_a_process_of_its_own(start_python: StartPython) -> None:
    output, errors = start_python('-c', '\n'.join([
        'from pathlib import Path',
        'from mobilenetv2_ros.inference.backends.registry import open_backend',
        f'backend = open_backend(Path({str(MODEL)!r})).backend',
        'session = backend.open_session()',
        'session.input.y[:], session.input.uv[:] = 125, 128',
        'print(backend.kind, session.run(10.0).max())',
        'session.close()',
        'backend.close()'])).communicate(timeout=60)
    assert (output, errors) == ('libdnn 0.9\n', '')
