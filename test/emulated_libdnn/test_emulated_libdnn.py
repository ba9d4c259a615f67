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

"""The emulated libdnn does what a program that drives a BPU has to be tested against."""

from __future__ import annotations

from collections.abc import Iterator
import ctypes
from ctypes import byref, c_char_p, c_int32, c_uint32, c_uint64, c_uint8, c_void_p
import itertools
import os
from pathlib import Path
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

from . import (
    build, COMPILER_OPTIONS, Emulator, fingerprint_class, load, MODEL, REBUILT_MODEL, SOURCE,
    write_model)

CLEAN, INVALIDATE = 2, 1
INVALID_ARGUMENT, INVALID_MODEL, INVALID_PACKED, INVALID_MODEL_HANDLE = (
    -6000001, -6000002, -6000004, -6000005)
NO_FILE, TIMEOUT, TOO_MANY_TASKS, INVALID_TASK = -6000006, -6000008, -6000009, -6000011
RUN_FAILED, IS_RUNNING, INCOMPATIBLE, MULTI_PROCESS = -6000012, -6000013, -6000014, -6000016
MEMORY_INVALID_ARGUMENT, OUT_OF_MEMORY = -6000129, -6000130
NUMPY_TYPES = {8: np.int8, 9: np.uint8, 10: np.float16, 11: np.int16, 13: np.float32,
               14: np.int32}


class Memory(ctypes.Structure):
    _fields_ = [('physical', c_uint64), ('virtual', c_void_p), ('size', c_uint32)]


class Shape(ctypes.Structure):
    _fields_ = [('sizes', c_int32 * 8), ('dimensions', c_int32)]


class Properties(ctypes.Structure):
    _fields_ = [
        ('valid', Shape), ('aligned', Shape), ('layout', c_int32), ('type', c_int32),
        ('shift_count', c_int32), ('shifts', ctypes.POINTER(c_uint8)),
        ('scale_count', c_int32), ('scales', ctypes.POINTER(ctypes.c_float)),
        ('zero_count', c_int32), ('zeros', ctypes.POINTER(ctypes.c_int8)),
        ('quantisation', c_int32), ('axis', c_int32), ('bytes', c_int32), ('stride', c_int32 * 8)]


class Tensor(ctypes.Structure):
    _fields_ = [('memory', Memory * 4), ('properties', Properties)]


class Control(ctypes.Structure):
    _fields_ = [('core', c_int32), ('dsp', c_int32), ('priority', c_int32), ('more', c_int32),
                ('custom', ctypes.c_int64), ('reserved', c_int32 * 2)]


DoneCallback = ctypes.CFUNCTYPE(None, c_void_p, c_int32, c_void_p)


class Session:
    """One model with one input and one output, by the bare calls."""

    def __init__(self, library: Any, path: Path, allocate: str = 'hbSysAllocCachedMem') -> None:
        self.library = library
        self.packed, self.model, self.control = c_void_p(), c_void_p(), Control()
        self.input, self.output = Tensor(), Tensor()
        self.check('hbDNNInitializeFromFiles', byref(self.packed),
                   (c_char_p * 1)(os.fsencode(path)), 1)
        names, count = ctypes.POINTER(c_char_p)(), c_int32()
        self.check('hbDNNGetModelNameList', byref(names), byref(count), self.packed)
        self.names = [names[i] for i in range(count.value)]
        self.check('hbDNNGetModelHandle', byref(self.model), self.packed, names[0])
        self.check('hbDNNGetInputTensorProperties', byref(self.input.properties), self.model, 0)
        self.check('hbDNNGetOutputTensorProperties', byref(self.output.properties), self.model, 0)
        shape = self.input.properties.aligned.sizes
        shape[3] = stride = (shape[3] + 15) // 16 * 16
        self.height, self.width = shape[2], self.input.properties.valid.sizes[3]
        luma = self.height * stride
        sizes = [luma, luma // 2] if self.input.properties.type == 2 else [luma * 3 // 2]
        for memory, size in zip(self.input.memory, sizes):
            self.check(allocate, byref(memory), size)
        self.check(allocate, byref(self.output.memory[0]), self.output.properties.bytes)
        planes = [view(self.input.memory[i]).reshape(-1, stride) for i in range(len(sizes))]
        self.y = planes[0][:self.height, :self.width]
        self.uv = (planes[1] if len(planes) == 2 else planes[0][self.height:])[:, :self.width]
        self.cached_planes = len(sizes)

    def call(self, name: str, *arguments: Any) -> int:
        return int(getattr(self.library, name)(*arguments))

    def check(self, name: str, *arguments: Any) -> None:
        assert self.call(name, *arguments) == 0, name

    def clean(self) -> None:
        for memory in self.input.memory[:self.cached_planes]:
            self.check('hbSysFlushMem', byref(memory), CLEAN)

    def draw(self, seed: int) -> int:
        """Put a random image into the input; return its class."""
        random = np.random.default_rng(seed)
        self.y[:] = random.integers(0, 256, self.y.shape, np.uint8)
        self.uv[:] = random.integers(0, 256, self.uv.shape, np.uint8)
        return fingerprint_class(self.y, self.uv, self.classes)

    def submit(self) -> c_void_p:
        task = c_void_p()
        self.check('hbDNNInfer', *self.arguments(task))
        return task

    def arguments(self, task: c_void_p) -> tuple[Any, ...]:
        return (byref(task), byref(ctypes.pointer(self.output)), byref(self.input), self.model,
                byref(self.control))

    def wait(self, task: c_void_p, timeout: int = 5000) -> int:
        return self.call('hbDNNWaitTaskDone', task, timeout)

    def release(self, task: c_void_p) -> int:
        return self.call('hbDNNReleaseTask', task)

    def run(self) -> np.ndarray:
        self.clean()
        task = self.submit()
        assert self.wait(task) == 0
        assert self.release(task) == 0
        self.check('hbSysFlushMem', byref(self.output.memory[0]), INVALIDATE)
        return self.scores()

    @property
    def classes(self) -> int:
        return int(max(self.output.properties.valid.sizes[:4]))

    def scores(self) -> np.ndarray:
        """Return the scores in the CPU's view: float64, without padding."""
        p = self.output.properties
        raw = view(self.output.memory[0])[:p.bytes].view(NUMPY_TYPES[p.type])
        raw = raw.reshape(p.aligned.sizes[:4])
        raw = raw[tuple(slice(p.valid.sizes[i]) for i in range(4))].reshape(-1)
        values = raw.astype(np.float64)
        if p.quantisation == 2:
            zeros = np.array(p.zeros[:p.zero_count] or [0], np.float64)
            values = (values - zeros) * np.array(p.scales[:p.scale_count])
        elif p.quantisation == 1:
            values = values / 2.0 ** np.array(p.shifts[:p.shift_count])
        return np.asarray(values)

    def close(self) -> None:
        for memory in (*self.input.memory[:self.cached_planes], self.output.memory[0]):
            self.check('hbSysFreeMem', byref(memory))
        self.check('hbDNNRelease', self.packed)


def view(memory: Memory) -> np.ndarray:
    assert memory.virtual is not None
    return np.ctypeslib.as_array((c_uint8 * memory.size).from_address(memory.virtual))


def wait_for_inferences(emulator: Emulator, count: int) -> None:
    deadline = time.monotonic() + 30
    while emulator.get('inferences') < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


@pytest.fixture(scope='module')
def library_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp('libdnn'))


@pytest.fixture
def emulator(library_path: Path) -> Iterator[Emulator]:
    emulator = load(library_path)
    emulator.reset()
    for name in ('hbDNNRelease', 'hbDNNGetModelHandle', 'hbDNNWaitTaskDone', 'hbDNNReleaseTask',
                 'hbDNNSetTaskDoneCb'):
        getattr(emulator.library, name).argtypes = {
            'hbDNNRelease': [c_void_p],
            'hbDNNGetModelHandle': [c_void_p, c_void_p, c_char_p],
            'hbDNNWaitTaskDone': [c_void_p, c_int32],
            'hbDNNReleaseTask': [c_void_p],
            'hbDNNSetTaskDoneCb': [c_void_p, DoneCallback, c_void_p],
        }[name]
    emulator.library.hbDNNGetVersion.restype = c_char_p
    yield emulator
    emulator.set_network(None)
    leaks = {key: emulator.get(key) for key in
             ('live_memory_blocks', 'live_bytes', 'live_tasks', 'live_packed', 'overruns')}
    emulator.reset()
    assert not any(leaks.values()), leaks


@pytest.fixture
def session(emulator: Emulator) -> Iterator[Session]:
    session = Session(emulator.library, MODEL)
    yield session
    session.close()


def in_own_process(library_path: Path, code: str, **environment: str) -> str:
    """Run code that has `emulator`, `session` and this module, in a process of its own."""
    package = Path(__file__).parent
    program = '\n'.join([
        'import sys',
        f'sys.path.insert(0, {str(package.parent)!r})',
        'from emulated_libdnn.test_emulated_libdnn import *',
        f'emulator = load(Path({str(library_path)!r}))',
        'emulator.library.hbDNNWaitTaskDone.argtypes = [c_void_p, c_int32]',
        'session = Session(emulator.library, MODEL)',
        code])
    result = subprocess.run(
        [sys.executable, '-c', program], capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, **environment})
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return result.stdout


# ------------------------------------------------------------------------------------- building

def test_compiles_without_a_warning(tmp_path: Path) -> None:
    """Offsets and sizes are asserted in the source, so compiling is the test of the layout too."""
    subprocess.run(
        ['cc', *COMPILER_OPTIONS, '-Werror', str(SOURCE), '-o', str(tmp_path / 'libdnn.so')],
        check=True)


def test_builds_only_when_the_source_is_newer(tmp_path: Path) -> None:
    library = build(tmp_path / 'new folder')
    first = library.stat().st_mtime_ns
    assert build(library.parent).stat().st_mtime_ns == first
    os.utime(library, (1, 1))
    assert build(library.parent).stat().st_mtime_ns >= first
    assert [path.name for path in library.parent.iterdir()] == ['libdnn.so']


def test_a_missing_or_failing_compiler_is_named(
        tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('CC', 'no-such-compiler -m64')
    with pytest.raises(RuntimeError, match='"no-such-compiler" is not there'):
        build(tmp_path)
    monkeypatch.setenv('CC', 'false')
    with pytest.raises(RuntimeError, match='false cannot compile'):
        build(tmp_path)


def test_structures_have_the_sizes_of_the_interface() -> None:
    sizes = {Memory: 24, Shape: 36, Properties: 176, Tensor: 272, Control: 32}
    assert {kind: ctypes.sizeof(kind) for kind in sizes} == sizes
    assert Properties.quantisation.offset == 128
    assert Properties.bytes.offset == 136


# --------------------------------------------------------------------------------------- models

def test_the_default_model_has_the_properties_of_the_real_one(session: Session) -> None:
    assert session.names == [b'mobilenetv2_224x224_nv12']
    counts = c_int32(), c_int32()
    session.check('hbDNNGetInputCount', byref(counts[0]), session.model)
    session.check('hbDNNGetOutputCount', byref(counts[1]), session.model)
    assert [count.value for count in counts] == [1, 1]
    given, result = session.input.properties, session.output.properties
    assert (given.type, given.layout, given.bytes) == (1, 2, 75264)
    assert given.valid.sizes[:given.valid.dimensions] == [1, 3, 224, 224]
    assert given.aligned.sizes[:4] == [1, 3, 224, 224]
    assert (result.type, result.quantisation, result.bytes) == (13, 0, 4000)
    assert result.valid.sizes[:result.valid.dimensions] == [1, 1000, 1, 1]
    assert result.aligned.sizes[:4] == [1, 1000, 1, 1]
    assert result.stride[:4] == [4000, 4, 4, 4]
    assert session.library.hbDNNGetVersion().endswith(b'emulated')
    name = c_char_p()
    session.check('hbDNNGetInputName', byref(name), session.model, 0)
    assert name.value == b'data'
    session.check('hbDNNGetOutputName', byref(name), session.model, 0)
    assert name.value == b'prob'
    assert session.call('hbDNNGetOutputName', byref(name), session.model, 1) == INVALID_ARGUMENT


@pytest.mark.parametrize(('text', 'code'), [
    ('', INVALID_MODEL),
    ('PK\x03\x04', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 2\n', INCOMPATIBLE),
    ('EMULATED-LIBDNN-MODEL 1\nheight\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\nheight=223\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\nheight=2e99\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\nunknown=1\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\ninput_aligned_width=208\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\naligned_classes=999\n', INVALID_MODEL),
    ('EMULATED-LIBDNN-MODEL 1\nname=a,,b\n', INVALID_MODEL),
])
def test_what_is_no_model_is_refused(
        emulator: Emulator, tmp_path: Path, text: str, code: int) -> None:
    path = tmp_path / 'model.bin'
    path.write_text(text)
    packed = c_void_p()
    files = (c_char_p * 1)(os.fsencode(path))
    assert emulator.library.hbDNNInitializeFromFiles(byref(packed), files, 1) == code
    assert packed.value is None


def test_missing_files_and_wrong_handles_are_refused(
        emulator: Emulator, session: Session, tmp_path: Path) -> None:
    packed, model, count = c_void_p(), c_void_p(), c_int32()
    for path in (tmp_path / 'missing.bin', tmp_path):
        files = (c_char_p * 1)(os.fsencode(path))
        assert session.call('hbDNNInitializeFromFiles', byref(packed), files, 1) == NO_FILE
    assert session.call('hbDNNInitializeFromFiles', byref(packed), None, 1) == INVALID_ARGUMENT
    assert session.call('hbDNNRelease', c_void_p(4096)) == INVALID_PACKED
    assert session.call('hbDNNRelease', session.model) == INVALID_PACKED
    assert session.call('hbDNNGetInputCount', byref(count), session.packed) == INVALID_MODEL_HANDLE
    assert session.call('hbDNNGetModelHandle', byref(model), session.packed,
                        b'other') == INVALID_ARGUMENT
    assert emulator.get('failed.hbDNNRelease') == 2
    assert emulator.get('injected.hbDNNRelease') == 0


def test_a_packed_file_has_several_models(emulator: Emulator, tmp_path: Path) -> None:
    session = Session(emulator.library, write_model(tmp_path / 'm.bin', name='first,second'))
    assert session.names == [b'first', b'second']
    session.close()


# ------------------------------------------------------------------------------------- images

@pytest.mark.parametrize('keys', [
    {},
    {'input_type': 'nv12_separate'},
    {'input_aligned_width': 256},
    {'input_type': 'nv12_separate', 'input_aligned_width': 240},
    {'width': 198, 'height': 102},
    {'width': 2, 'height': 2, 'classes': 2},
    {'classes': 21, 'aligned_classes': 32},
    {'classes': 21, 'output_aligned_width': 8},
    {'classes': 1000, 'aligned_classes': 1024, 'output_layout': 'nhwc'},
])
def test_the_class_is_that_of_the_image(
        emulator: Emulator, tmp_path: Path, keys: dict[str, object]) -> None:
    session = Session(emulator.library, write_model(tmp_path / 'm.bin', **keys))
    for seed in range(3):
        expected = session.draw(seed)
        scores = session.run()
        assert scores.argmax() == expected
        assert scores[expected] == pytest.approx(0.9)
        assert scores.sum() == pytest.approx(1, abs=1e-4)
    session.close()


def test_stride_and_planes_do_not_change_the_class(emulator: Emulator, tmp_path: Path) -> None:
    classes = []
    variants: list[dict[str, object]] = [
        {}, {'input_type': 'nv12_separate'}, {'input_aligned_width': 512}]
    for i, keys in enumerate(variants):
        session = Session(emulator.library, write_model(tmp_path / f'{i}.bin', **keys))
        session.draw(7)
        classes.append(session.run().argmax())
        session.close()
    assert len(set(classes)) == 1


def test_one_changed_byte_changes_the_fingerprint() -> None:
    """Not always the class, but a class is only the rest of a division."""
    y, uv = np.zeros((16, 32), np.uint8), np.zeros((8, 32), np.uint8)
    found = set()
    for plane in (y, uv):
        for index in np.ndindex(plane.shape):
            plane[index] = 1
            found.add(fingerprint_class(y, uv, 1 << 60))
            plane[index] = 0
    assert len(found) == y.size + uv.size


def test_a_program_may_use_its_own_stride_and_one_block_for_both_planes(
        emulator: Emulator, tmp_path: Path) -> None:
    path = write_model(tmp_path / 'm.bin', input_type='nv12_separate')
    session = Session(emulator.library, path)
    expected = session.draw(3)
    both, own = Memory(), list(session.input.memory[:2])
    session.check('hbSysAllocCachedMem', byref(both), 240 * 336)
    rows = view(both).reshape(336, 240)
    rows[:224, :224], rows[224:, :224] = session.y, session.uv
    session.check('hbSysFlushMem', byref(both), CLEAN)
    copies = [Memory(m.physical, m.virtual, m.size) for m in own]
    session.input.memory[0] = Memory(both.physical, both.virtual, 240 * 224)
    session.input.memory[1] = Memory(
        both.physical + 240 * 224, (both.virtual or 0) + 240 * 224, 240 * 112)
    session.input.properties.aligned.sizes[3] = 240
    assert session.run().argmax() == expected
    for i in range(2):
        session.input.memory[i] = copies[i]
    session.check('hbSysFreeMem', byref(both))
    session.close()


def test_planes_may_come_apart_and_must_begin_at_a_multiple_of_16(
        emulator: Emulator, session: Session) -> None:
    expected = session.draw(3)
    luma = session.input.memory[0]
    session.input.properties.type = 2
    session.input.memory[1] = Memory(
        luma.physical + 224 * 224, (luma.virtual or 0) + 224 * 224, 224 * 112)
    assert session.run().argmax() == expected
    session.input.memory[1].physical += 8
    session.input.memory[1].virtual += 8
    session.input.memory[1].size -= 8
    assert session.call('hbDNNInfer', *session.arguments(c_void_p())) == INVALID_ARGUMENT


def test_factors_of_a_real_output_are_leftovers(emulator: Emulator, tmp_path: Path) -> None:
    for kind in ('f32', 'f16'):
        path = write_model(tmp_path / 'm.bin', output_type=kind, quanti='scale', scale=0.1)
        session = Session(emulator.library, path)
        assert session.output.properties.quantisation == 2
        session.draw(1)
        session.run()
        dtype = np.float32 if kind == 'f32' else np.float16
        stored = view(session.output.memory[0]).view(dtype)
        assert stored.max() == pytest.approx(0.9, abs=1e-3)
        session.close()


def test_codes_have_descriptions(emulator: Emulator) -> None:
    describe = emulator.library.hbDNNGetErrorDesc
    describe.restype = c_char_p
    assert describe(0) == b'Success' and describe(-6000012) == b'Run task failed'
    assert describe(-1) is None


@pytest.mark.parametrize('logits', [False, True])
@pytest.mark.parametrize('keys', [
    {'output_type': 'f16'},
    {'output_type': 's8', 'quanti': 'scale', 'scale': 0.1},
    {'output_type': 's8', 'quanti': 'scale', 'scale': 0.1, 'zero_point': -5, 'per_channel': 1},
    {'output_type': 'u8', 'quanti': 'scale', 'scale': 0.05, 'zero_point': 127},
    {'output_type': 's16', 'quanti': 'shift', 'shift': 11},
    {'output_type': 's16', 'quanti': 'shift', 'shift': 11, 'per_channel': 1},
    {'output_type': 's32', 'quanti': 'scale', 'scale': 1e-6, 'per_channel': 1},
    {'output_type': 's32', 'quanti': 'shift', 'shift': 24},
])
def test_quantised_outputs_mean_the_same(
        emulator: Emulator, tmp_path: Path, keys: dict[str, object], logits: bool) -> None:
    path = write_model(tmp_path / 'm.bin', aligned_classes=1008, logits=logits, **keys)
    session = Session(emulator.library, path)
    expected = session.draw(5)
    scores = session.run()
    values = np.full(1000, 0.1 / 999)
    values[expected] = 0.9
    values = np.log(values) if logits else values
    step = 0.1 * 1.5 if keys['output_type'] in ('s8', 'u8') else 0.01
    low = (0 - 127) * 0.05 if keys['output_type'] == 'u8' else -np.inf  # the type ends there
    np.testing.assert_allclose(scores, np.maximum(values, low), atol=step)
    assert scores.argmax() == expected
    session.close()


def test_half_precision_is_rounded_as_numpy_does(emulator: Emulator, tmp_path: Path) -> None:
    values = np.array([0, 1, 0.1, 1 / 3, 65519, 65520, 1e-7, 2.9e-8, 3e-8, 6.1e-5, 6e-5, -0.7,
                       np.inf, 2049, 2051, 5.96e-8], np.float32)
    path = write_model(tmp_path / 'm.bin', output_type='f16', classes=16, network='callback')
    session = Session(emulator.library, path)
    emulator.set_network(lambda _: values)
    with np.errstate(over='ignore'):
        np.testing.assert_array_equal(session.run(), values.astype(np.float16).astype(np.float64))
    emulator.set_network(None)
    session.close()


# --------------------------------------------------------------------------------------- memory

def test_a_missing_clean_shows_the_bpu_the_image_before(session: Session) -> None:
    first = session.draw(1)
    assert session.run().argmax() == first
    second = session.draw(2)
    task = session.submit()
    assert session.wait(task) == 0
    session.release(task)
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    assert session.scores().argmax() == first != second


def test_a_missing_invalidate_shows_the_cpu_the_result_before(session: Session) -> None:
    poison = session.scores()
    session.draw(1)
    session.clean()
    task = session.submit()
    assert session.wait(task) == 0
    session.release(task)
    np.testing.assert_array_equal(session.scores(), poison)
    assert not (0 <= poison[0] <= 1)


def test_an_invalidate_throws_away_what_was_not_cleaned(session: Session) -> None:
    session.draw(1)
    session.check('hbSysFlushMem', byref(session.input.memory[0]), INVALIDATE)
    assert (session.y == 0xB5).all()


def test_uncached_memory_needs_no_flush(emulator: Emulator) -> None:
    session = Session(emulator.library, MODEL, 'hbSysAllocMem')
    expected = session.draw(1)
    task = session.submit()
    assert session.wait(task) == 0
    session.release(task)
    assert session.scores().argmax() == expected
    session.close()
    assert emulator.get('flushes_clean') == emulator.get('flushes_invalidate') == 0


def test_wrong_memory_is_refused(emulator: Emulator, session: Session) -> None:
    memory = Memory()
    assert session.call('hbSysAllocMem', byref(memory), 0) == MEMORY_INVALID_ARGUMENT
    session.check('hbSysAllocCachedMem', byref(memory), 100)
    assert session.call('hbSysFlushMem', byref(memory), 3) == MEMORY_INVALID_ARGUMENT
    longer = Memory(memory.physical, memory.virtual, 101)
    assert session.call('hbSysFlushMem', byref(longer), CLEAN) == MEMORY_INVALID_ARGUMENT
    assert session.call('hbSysFreeMem', byref(Memory(1, 2, 3))) == MEMORY_INVALID_ARGUMENT
    bytes_ = view(memory)
    session.check('hbSysFreeMem', byref(memory))
    assert (bytes_ == 0xDD).all()
    assert session.call('hbSysFreeMem', byref(memory)) == MEMORY_INVALID_ARGUMENT
    assert session.call('hbSysFlushMem', byref(memory), CLEAN) == MEMORY_INVALID_ARGUMENT
    assert emulator.get('write_after_free') == 0
    bytes_[50] = 0
    assert emulator.get('write_after_free') == 1
    assert session.call('hbDNNInfer', *session.arguments(c_void_p(1))) == INVALID_ARGUMENT


def test_an_overrun_is_found_when_the_memory_is_freed(emulator: Emulator) -> None:
    memory = Memory()
    emulator.library.hbSysAllocCachedMem(byref(memory), 100)
    ctypes.memset((memory.virtual or 0) + 100, 0, 1)
    emulator.library.hbSysFreeMem(byref(memory))
    assert emulator.get('overruns') == 1
    emulator.reset()


def test_the_memory_limit(emulator: Emulator) -> None:
    emulator.set('memory_limit_bytes', 1000)
    memory, more = Memory(), Memory()
    assert emulator.library.hbSysAllocMem(byref(memory), 900) == 0
    assert emulator.library.hbSysAllocMem(byref(more), 101) == OUT_OF_MEMORY
    assert emulator.get('live_bytes') == 900
    emulator.library.hbSysFreeMem(byref(memory))


def test_freeing_memory_of_a_running_task_is_counted(emulator: Emulator) -> None:
    emulator.set('slow_us', 300000)
    session = Session(emulator.library, MODEL)
    session.clean()
    task = session.submit()
    session.release(task)
    session.close()
    assert emulator.get('use_after_free') == 2
    wait_for_inferences(emulator, 1)


@pytest.mark.parametrize('spoil', [
    lambda s: setattr(s.input.properties, 'type', 4),
    lambda s: s.input.properties.valid.sizes.__setitem__(2, 112),
    lambda s: s.input.properties.aligned.sizes.__setitem__(3, 232),
    lambda s: s.input.properties.aligned.sizes.__setitem__(3, 240),  # the memory is too small
    lambda s: s.input.properties.aligned.sizes.__setitem__(3, 225),
    lambda s: setattr(s.input.properties, 'type', 2),  # the UV plane has no memory
    lambda s: setattr(s.input.memory[0], 'size', 100),
    lambda s: setattr(s.input.memory[0], 'physical', 0),
    lambda s: setattr(s.output.memory[0], 'virtual', 0),
    lambda s: setattr(s.control, 'priority', 256),
])
def test_wrong_tensors_are_refused(session: Session, spoil: Any) -> None:
    kept = Tensor.from_buffer_copy(session.input), Tensor.from_buffer_copy(session.output)
    spoil(session)
    assert session.call('hbDNNInfer', *session.arguments(c_void_p())) == INVALID_ARGUMENT
    session.input, session.output = kept


# ---------------------------------------------------------------------------------------- tasks

def test_infer_returns_at_once_and_tasks_end_in_order(
        emulator: Emulator, session: Session) -> None:
    emulator.set('serial_us', 200000)
    session.clean()
    start = time.monotonic()
    tasks = [session.submit() for _ in range(4)]
    assert time.monotonic() - start < 0.8
    assert session.wait(tasks[3]) == 0
    assert 0.8 < time.monotonic() - start
    for task in tasks:
        assert session.wait(task, 1) == 0
        session.release(task)
    assert emulator.get('max_live_tasks') == 4
    assert emulator.get('inferences') == emulator.get('tasks') == emulator.get('releases') == 4


def test_the_timeline_does_not_lose_time(emulator: Emulator, session: Session) -> None:
    """A lower bound only: an upper one would be a test of the machine."""
    session.clean()
    start = time.monotonic()
    for _ in range(25):
        tasks = [session.submit() for _ in range(4)]
        for task in tasks:
            assert session.wait(task) == 0
            session.release(task)
    assert time.monotonic() - start >= 25 * (0.00055 + 4 * 0.000868)


def test_a_model_may_have_a_timing_of_its_own(emulator: Emulator, tmp_path: Path) -> None:
    """Times can only be too long on a busy machine, so each has to be at least what it says."""
    path = write_model(tmp_path / 'm.bin', parallel_us=20_000, serial_us=30_000)
    session = Session(emulator.library, path)
    began = time.monotonic()
    tasks = [session.submit() for _ in range(3)]
    assert [session.wait(task) for task in tasks] == [0, 0, 0]
    assert time.monotonic() - began >= 0.02 + 3 * 0.03
    for task in tasks:
        session.release(task)
    session.close()


def test_the_rebuilt_model_gives_logits(emulator: Emulator) -> None:
    session = Session(emulator.library, REBUILT_MODEL)
    expected = session.draw(1)
    scores = session.run()
    assert scores.argmax() == expected and scores.max() < 0
    session.close()


def test_the_input_is_read_when_the_serial_part_begins(
        emulator: Emulator, session: Session) -> None:
    emulator.set('parallel_us', 100000)
    session.draw(1)
    session.clean()
    task = session.submit()
    second = session.draw(2)  # too early
    session.clean()
    assert session.wait(task) == 0
    session.release(task)
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    assert session.scores().argmax() == second


def test_no_more_than_32_tasks_live(emulator: Emulator, session: Session) -> None:
    session.clean()
    tasks = [session.submit() for _ in range(32)]
    assert session.wait(tasks[-1]) == 0  # done, but not released: they still live
    assert session.call('hbDNNInfer', *session.arguments(c_void_p())) == TOO_MANY_TASKS
    assert emulator.get('live_tasks') == 32
    assert session.release(tasks.pop()) == 0
    tasks.append(session.submit())
    for task in tasks:
        assert session.wait(task) == 0
        assert session.release(task) == 0
    emulator.set('busy', 1)
    assert session.call('hbDNNInfer', *session.arguments(c_void_p())) == TOO_MANY_TASKS


def test_wrong_task_handles_are_refused(session: Session) -> None:
    session.clean()
    task = session.submit()
    assert session.call('hbDNNInfer', *session.arguments(c_void_p(task.value))) == INVALID_ARGUMENT
    assert session.wait(task) == 0
    assert session.release(task) == 0
    successor = session.submit()  # in the slot that became free
    for wrong in (task, c_void_p(), c_void_p(1), c_void_p(2**64 - 1), session.model):
        assert session.release(wrong) == INVALID_TASK
        assert session.wait(wrong) == INVALID_TASK
    assert session.wait(successor, 0) == 0
    assert session.release(successor) == 0


def test_the_model_cannot_go_before_its_tasks(session: Session) -> None:
    session.clean()
    task = session.submit()
    assert session.call('hbDNNRelease', session.packed) == IS_RUNNING
    session.wait(task)
    session.release(task)


def test_a_wait_with_a_limit_times_out(emulator: Emulator, session: Session) -> None:
    emulator.set('slow_us', 300000)
    expected = session.draw(1)
    session.clean()
    task = session.submit()
    assert session.wait(task, 1) == TIMEOUT
    assert session.wait(task, -1) == 0
    session.release(task)
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    assert session.scores().argmax() == expected


def test_a_task_released_early_still_writes(emulator: Emulator, session: Session) -> None:
    emulator.set('slow_us', 300000)
    expected = session.draw(1)
    session.clean()
    task = session.submit()
    assert session.release(task) == 0
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    before = session.scores()
    wait_for_inferences(emulator, 1)
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    assert session.scores().argmax() == expected
    assert not np.array_equal(before, session.scores())


def test_releasing_wakes_who_waits(emulator: Emulator, session: Session) -> None:
    emulator.set('hang', 1)
    session.clean()
    task = session.submit()
    answers: list[int] = []
    thread = threading.Thread(target=lambda: answers.append(session.wait(task, 0)))
    thread.start()
    time.sleep(0.05)
    assert session.release(task) == 0
    thread.join(5)
    assert answers == [INVALID_TASK]
    emulator.set('hang', 0)
    after = session.submit()
    assert session.wait(after) == 0
    session.release(after)


def test_a_hanging_bpu_goes_on(emulator: Emulator, session: Session) -> None:
    emulator.set('hang', 1)
    session.clean()
    tasks = [session.submit() for _ in range(2)]
    assert [session.wait(task, 10) for task in tasks] == [TIMEOUT] * 2
    emulator.set('hang', 0)
    assert [session.wait(task) for task in tasks] == [0, 0]
    assert [session.release(task) for task in tasks] == [0, 0]


def test_one_hanging_task_lets_the_others_pass(emulator: Emulator, session: Session) -> None:
    emulator.set('hang_next', 2)
    session.clean()
    tasks = [session.submit() for _ in range(3)]
    assert session.wait(tasks[2]) == 0
    assert [session.wait(task, 10) for task in tasks] == [TIMEOUT, TIMEOUT, 0]
    assert session.release(tasks[1]) == 0  # given up: it never writes
    emulator.reset()
    assert session.wait(tasks[0]) == 0
    assert [session.release(tasks[i]) for i in (0, 2)] == [0, 0]


def test_the_done_callback_comes_once(session: Session) -> None:
    seen: list[tuple[int, int, int]] = []
    called = threading.Event()

    def note(task: int, status: int, user: int) -> None:
        seen.append((task, status, user))
        called.set()

    done = DoneCallback(note)
    session.clean()
    task = session.submit()
    session.check('hbDNNSetTaskDoneCb', task, done, c_void_p(7))
    assert called.wait(5)
    assert session.wait(task) == 0
    session.check('hbDNNSetTaskDoneCb', task, done, c_void_p(8))  # done already: at once
    assert seen == [(task.value, 0, 7), (task.value, 0, 8)]
    assert session.release(task) == 0


def test_many_threads_get_their_own_results(emulator: Emulator) -> None:
    emulator.set('parallel_us', 100)
    emulator.set('serial_us', 100)
    wrong: list[int] = []

    def work(number: int) -> None:
        session = Session(emulator.library, MODEL)
        for i in range(50):
            expected = session.draw(number * 1000 + i)
            if session.run().argmax() != expected:
                wrong.append(i)
        session.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert emulator.get('inferences') == 200
    assert emulator.get('allocs') == emulator.get('frees') == 8
    assert emulator.get('packed_opened') == emulator.get('packed_released') == 4


# --------------------------------------------------------------------------------------- faults

FUNCTIONS = [
    'hbDNNInitializeFromFiles', 'hbDNNRelease', 'hbDNNGetModelNameList', 'hbDNNGetModelHandle',
    'hbDNNGetInputCount', 'hbDNNGetOutputCount', 'hbDNNGetInputName', 'hbDNNGetOutputName',
    'hbDNNGetInputTensorProperties', 'hbDNNGetOutputTensorProperties', 'hbDNNInfer',
    'hbDNNWaitTaskDone', 'hbDNNReleaseTask', 'hbDNNSetTaskDoneCb', 'hbSysAllocMem',
    'hbSysAllocCachedMem', 'hbSysFlushMem', 'hbSysFreeMem']


@pytest.mark.parametrize('function', FUNCTIONS)
def test_every_function_fails_on_demand(emulator: Emulator, function: str) -> None:
    call = getattr(emulator.library, function)
    counts = {'hbDNNInfer': 5, 'hbDNNGetInputCount': 2, 'hbDNNGetOutputCount': 2,
              'hbSysAllocMem': 2, 'hbSysAllocCachedMem': 2, 'hbDNNRelease': 1,
              'hbDNNReleaseTask': 1, 'hbSysFlushMem': 2, 'hbSysFreeMem': 1}
    arguments: list[Any] = [None] * counts.get(function, 3)
    if function == 'hbDNNWaitTaskDone':
        arguments = [None, 1]
    if function == 'hbDNNSetTaskDoneCb':
        arguments = [None, DoneCallback(), None]
    plain = call(*arguments)
    assert plain < 0  # nothing is NULL with impunity
    emulator.set(f'fail.{function}', -12345)
    assert [call(*arguments), call(*arguments)] == [-12345] * 2
    emulator.set(f'fail.{function}', 0)
    emulator.set(f'fail_code.{function}', -54321)
    emulator.set(f'fail_next.{function}', 1)
    assert [call(*arguments), call(*arguments)] == [-54321, plain]
    emulator.set(f'fail_rate.{function}', 1)
    assert call(*arguments) == -54321
    assert emulator.get(f'calls.{function}') == emulator.get(f'failed.{function}') == 6
    assert emulator.get(f'injected.{function}') == 4


def test_a_missing_version(emulator: Emulator) -> None:
    emulator.set('fail_next.hbDNNGetVersion', 1)
    assert emulator.library.hbDNNGetVersion() is None
    assert emulator.library.hbDNNGetVersion() is not None


def test_random_faults_repeat_with_their_seed(emulator: Emulator) -> None:
    def answers(seed: int) -> list[int]:
        emulator.set('seed', seed)
        return [emulator.library.hbSysFreeMem(None) for _ in range(400)]

    emulator.set('fail_rate.hbSysFreeMem', 0.25)
    emulator.set('fail_code.hbSysFreeMem', -1)
    first = answers(5)
    assert first == answers(5) != answers(6)
    assert 60 < first.count(-1) < 140


def test_a_task_that_fails_writes_nothing(emulator: Emulator, session: Session) -> None:
    emulator.set('fail_next.task', 1)
    session.clean()
    task = session.submit()
    assert session.wait(task) == RUN_FAILED
    session.release(task)
    session.check('hbSysFlushMem', byref(session.output.memory[0]), INVALIDATE)
    assert (view(session.output.memory[0]) == 0xB5).all()
    assert emulator.get('inferences') == 0
    expected = session.draw(1)
    assert session.run().argmax() == expected
    assert emulator.get('calls.task') == 2


def test_outputs_that_no_network_gives(emulator: Emulator, session: Session) -> None:
    emulator.set('nan', 1)
    assert np.isnan(session.run()).all()
    emulator.set('nan', 0)
    emulator.set('inf', 1)
    assert np.isposinf(session.run()).all()
    emulator.set('inf', 0)
    emulator.set('out_of_range', 1)
    assert (np.abs(session.run()) > 1).all()


def test_unknown_keys_are_errors(emulator: Emulator) -> None:
    for key in ('nonsense', 'fail.nonsense', 'allocs', ''):
        with pytest.raises(KeyError):
            emulator.set(key, 1)
    with pytest.raises(KeyError):
        emulator.set('task_limit', 1e6)
    with pytest.raises(KeyError):
        emulator.get('calls.nonsense')
    emulator.set('fail_rate.task', 0.5)
    assert emulator.get('fail_rate.task') == 0.5
    emulator.reset()
    assert emulator.get('fail_rate.task') == 0
    assert emulator.get('serial_us') == 868


# ------------------------------------------------------------------------------------- networks

def test_a_network_of_our_own(emulator: Emulator, tmp_path: Path) -> None:
    path = write_model(tmp_path / 'm.bin', network='callback', width=40, height=20,
                       input_type='nv12_separate', classes=5, aligned_classes=8, logits=1)
    session = Session(emulator.library, path)
    session.draw(1)
    images, numbers = [], itertools.count()

    def network(nv12: np.ndarray) -> np.ndarray:
        images.append(nv12.copy())
        return np.roll([0.6, 0.1, 0.1, 0.2, 0], next(numbers))

    emulator.set_network(network)
    for turn in range(3):
        np.testing.assert_allclose(
            session.run(), np.log(np.roll([0.6, 0.1, 0.1, 0.2, 1e-12], turn)), rtol=1e-6)
    np.testing.assert_array_equal(images[0], np.vstack([session.y, session.uv]))
    emulator.set_network(None)
    task = session.submit()
    assert session.wait(task) == RUN_FAILED
    session.release(task)
    session.close()
    assert emulator.network_errors == []


def test_what_a_network_raises_is_kept(emulator: Emulator, tmp_path: Path) -> None:
    session = Session(emulator.library, write_model(tmp_path / 'm.bin', network='callback'))
    emulator.set_network(lambda _: np.zeros(3))
    assert np.isnan(session.run()).all()
    assert [type(error) for error in emulator.network_errors] == [ValueError]
    emulator.network_errors.clear()
    session.close()


def test_a_slow_network_delays_the_next_task(emulator: Emulator, tmp_path: Path) -> None:
    session = Session(emulator.library, write_model(tmp_path / 'm.bin', network='callback'))
    spans = []

    def network(_: np.ndarray) -> np.ndarray:
        start = time.monotonic()
        time.sleep(0.03)
        spans.append((start, time.monotonic()))
        return np.ones(1000)

    emulator.set_network(network)
    tasks = [session.submit() for _ in range(2)]
    assert [session.wait(task) for task in tasks] == [0, 0]
    assert [session.release(task) for task in tasks] == [0, 0]
    assert spans[0][1] <= spans[1][0]
    emulator.set_network(None)
    session.close()


# ------------------------------------------------------------------------------------ processes

def test_the_environment_sets_and_the_report_tells(library_path: Path, tmp_path: Path) -> None:
    report = tmp_path / 'report'
    out = in_own_process(
        library_path,
        'print(emulator.get("serial_us"), emulator.library.hbSysFreeMem(None))\n'
        'emulator.set("serial_us", 5)\n'
        'emulator.reset()\n'
        'print(emulator.get("serial_us"))',
        EMULATED_LIBDNN='serial_us=77,fail.hbSysFreeMem=-3', EMULATED_LIBDNN_REPORT=str(report))
    assert out.split() == ['77.0', '-3', '77.0']
    counters = dict(line.split('=') for line in report.read_text().splitlines())
    assert counters['live_memory_blocks'] == '2'
    assert counters['live_packed'] == '1'
    assert counters['calls.hbSysAllocCachedMem'] == '0'  # since the reset


def test_a_wrong_environment_is_reported(library_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, '-c', f'import ctypes; ctypes.CDLL({str(library_path)!r})'],
        env={**os.environ, 'EMULATED_LIBDNN': 'hang=1,nonsense=1'}, capture_output=True,
        text=True, timeout=60, check=True)
    assert "cannot set 'nonsense'" in result.stderr


@pytest.mark.parametrize('code', [
    'session.submit()',
    'emulator.set("hang", 1)\nsession.submit()',
    'emulator.set("serial_us", 1e9)\nsession.submit()\ntime.sleep(0.01)',
    'emulator.set("hang_next", 1)\ntask = session.submit()\n'
    'threading.Thread(target=session.wait, args=(task, 0), daemon=True).start()\ntime.sleep(0.05)',
    'callback = DoneCallback(lambda *_: time.sleep(30))\n'
    'task = session.submit()\n'
    'emulator.library.hbDNNSetTaskDoneCb(task, callback, None)\ntime.sleep(0.05)',
])
def test_running_tasks_do_not_hold_up_the_exit(library_path: Path, code: str) -> None:
    start = time.monotonic()
    in_own_process(library_path, code)
    assert time.monotonic() - start < 20


def test_a_forked_process_has_no_bpu(library_path: Path) -> None:
    """It is told so, and hangs neither in a call nor at its exit."""
    out = in_own_process(
        library_path,
        'import warnings; warnings.simplefilter("ignore")\n'
        'session.run()\n'
        'child = os.fork()\n'
        'if child == 0:\n'
        '    code = session.call("hbDNNInfer", *session.arguments(c_void_p()))\n'
        '    sys.exit(0 if code == MULTI_PROCESS else 1)\n'
        'print(os.waitpid(child, 0)[1], flush=True)\n'
        'session.run()')
    assert out.split() == ['0']
