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
``.bin`` models on the BPU of an RDK X5, through the C interface of ``libdnn.so``.

The vendor's Python module keeps the interpreter lock while it waits for the BPU, so that threads
gain nothing; here only the wait lets other threads run, and any number of sessions can be in
flight. Each session owns its input and output memory. The memory is cached and not coherent: it
is cleaned after the CPU has written and before the BPU reads, and invalidated the other way
round.
"""

from __future__ import annotations

from contextlib import ExitStack
import ctypes
from ctypes import byref, c_char_p, c_int32, c_void_p, POINTER, pointer
import os
from pathlib import Path
import threading
import time
from typing import Any, Callable, List, NamedTuple, NoReturn, Optional, Tuple

from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.backends.base import (
    Backend, check_input_size, count_scores, InferenceCancelledError, InferenceTimeoutError,
    ModelError, ModelInfo, Session)
from mobilenetv2_ros.inference.backends.libdnn_abi import is_installed, LibdnnError, Library
from mobilenetv2_ros.inference.ranking import Scores
import numpy as np
from numpy.typing import NDArray

__all__ = ['is_installed', 'LibdnnBackend', 'open_model']

_OUTPUT_TYPES = {
    'F32': np.float32, 'F16': np.float16, 'S8': np.int8, 'U8': np.uint8, 'S16': np.int16,
    'S32': np.int32}

_REAL_TYPES = 'F32', 'F16'

_MAX_OVERDUE = 8
"""Inferences that may be overdue at the same time; libdnn keeps 32 tasks at most."""

_LAST_WAIT_MS = 200
"""How long tasks that are overdue are waited for, all together, when the model is closed."""

_SLICE = 0.2
"""Seconds of a wait after which a request to give it up is looked for."""

_SLICE_MS = int(_SLICE * 1000)

_ROW_ALIGNMENT = 16
"""Bytes of which the row stride of an NV12 image must be a multiple."""

_WRONG_CHIP_ADVICE = (
    'no inference of this model has succeeded yet, so it may be compiled for another chip; use a '
    'model for RDK X5 (bayes-e), else see the kernel log (dmesg)')
"""A model for another chip is opened without complaint; then each of its inferences fails."""


def open_model(path: Path, session_count: int) -> Backend:
    """
    Open a model on the BPU.

    :param session_count: not needed: the BPU divides itself.
    :raises BackendMissingError: this machine has no libdnn.
    :raises ModelError: the model is damaged or takes other images than NV12.
    :raises LibdnnError: the library refuses.
    """
    return LibdnnBackend(path, Library())


class LibdnnBackend(Backend):
    """A model, opened once; see :class:`mobilenetv2_ros.inference.backends.base.Backend`."""

    kind = 'libdnn'

    def __init__(self, path: Path, library: Library) -> None:
        """
        Open a model.

        :raises ModelError: the model is damaged or takes other images than NV12.
        :raises LibdnnError: the library refuses.
        """
        self._library = library
        self._packed = c_void_p()
        self._overdue_tasks = _OverdueTasks()
        self._orphaned_before = _ORPHANED.list()
        self._opened = ExitStack()
        self._opened.callback(library.retry_deferred_frees)
        library.retry_deferred_frees()
        files = (c_char_p * 1)(os.fsencode(path))
        try:
            library.call('hbDNNInitializeFromFiles', byref(self._packed), files, 1)
        except LibdnnError as error:
            raise ModelError(f"model '{path}' cannot be opened: {error}") from None
        self._opened.callback(library.free, 'hbDNNRelease', self._packed)
        self._opened.callback(self._overdue_tasks.close)
        try:
            self._inspect(path)
        except BaseException as error:
            _close_after(error, self.close)
            raise

    def _inspect(self, path: Path) -> None:
        name = self._find_only_name(path)
        self._model = c_void_p()
        self._library.call('hbDNNGetModelHandle', byref(self._model), self._packed, name)
        self._input = self._only_properties(path, 'Input')
        self._output = self._only_properties(path, 'Output')
        self.tensor_properties = {'input': self._input, 'output': self._output}
        layout = _read_input_layout(path, self._input)
        self.info = ModelInfo(name.decode(errors='replace'), layout.height, layout.width,
                              _count_scores(path, self._output))
        self._layout = layout
        self._dequantise = _make_dequantiser(path, self._output, self.info.score_count)

    def open_session(self) -> Session:
        return _LibdnnSession(self)

    def close(self) -> None:
        self._opened.close()

    def settle(self) -> None:
        orphaned, self._orphaned_before = self._orphaned_before, []
        _ORPHANED.free(orphaned)

    def _find_only_name(self, path: Path) -> bytes:
        names, count = POINTER(c_char_p)(), c_int32()
        self._library.call('hbDNNGetModelNameList', byref(names), byref(count), self._packed)
        found = [names[index] or b'' for index in range(count.value)]
        if len(found) != 1:
            raise ModelError(
                f"model file '{path}' holds {len(found)} models "
                f"({b', '.join(found).decode(errors='replace')}); expected one")
        return found[0]

    def _only_properties(self, path: Path, side: str) -> abi.TensorProperties:
        count, properties = c_int32(), abi.TensorProperties()
        self._library.call(f'hbDNNGet{side}Count', byref(count), self._model)
        if count.value != 1:
            raise ModelError(
                f"model '{path}' has {count.value} {side.lower()}s; expected one image in and "
                'one list of class scores out')
        self._library.call(
            f'hbDNNGet{side}TensorProperties', byref(properties), self._model, 0)
        return properties


def _close_after(error: BaseException, close: Callable[[], None]) -> None:
    """Close what an error interrupted; if that fails as well, the first error is the one told."""
    try:
        close()
    except LibdnnError as second:
        raise error from second


class _InputLayout(NamedTuple):
    """
    How the NV12 input lies in memory.

    :param stride: bytes from row to row.
    :param is_separate: Y and UV are in a piece of memory each.
    """

    height: int
    width: int
    stride: int
    is_separate: bool

    def plane_sizes(self) -> List[int]:
        """Return the bytes of each piece of memory."""
        luma = self.stride * self.height
        return [luma, luma // 2] if self.is_separate else [luma * 3 // 2]

    def view(self, memory: List[NDArray[np.uint8]]) -> Nv12:
        """Lay the planes over the pieces of memory."""
        chroma_at = 0 if self.is_separate else self.stride * self.height
        rows, columns = self.height // 2, self.width // 2
        return Nv12(
            np.ndarray((self.height, self.width), np.uint8, memory[0], 0, (self.stride, 1)),
            np.ndarray((rows, columns, 2), np.uint8, memory[-1], chroma_at, (self.stride, 2, 1)))


def _read_input_layout(path: Path, properties: abi.TensorProperties) -> _InputLayout:
    kind = properties.tensorType
    if kind not in (abi.TYPE_IMG_NV12, abi.TYPE_IMG_NV12_SEPARATE):
        raise ModelError(
            f"model '{path}' takes images of type {_type_name(kind)}; expected NV12")
    valid, aligned = properties.validShape.sizes(), properties.alignedShape.sizes()
    if len(valid) != 4 or len(aligned) != 4 or valid[0] != 1:
        raise ModelError(f"model '{path}' takes an input of shape {valid}; expected one image")
    rows, columns = _find_sides(properties)
    height, width = valid[rows], valid[columns]
    check_input_size(path, height, width)
    proposed = max(width, aligned[columns])
    stride = -(-proposed // _ROW_ALIGNMENT) * _ROW_ALIGNMENT
    return _InputLayout(
        height, width, stride, kind == abi.TYPE_IMG_NV12_SEPARATE or stride != proposed)


def _find_sides(properties: abi.TensorProperties) -> Tuple[int, int]:
    """Return where a shape has the height and the width."""
    return (2, 3) if properties.tensorLayout == abi.LAYOUT_NCHW else (1, 2)


def _make_input(properties: abi.TensorProperties, layout: _InputLayout) -> Any:
    """
    Make the input tensor, with no memory yet.

    Models whose width is no multiple of 16 (260, 280, 300) propose rows that the BPU cannot read.
    The vendor's own nodes then write a longer row into the aligned shape of the tensor and give
    both planes apart, which libdnn takes for NV12 models too.
    """
    tensor = abi.Tensor(properties=properties)
    tensor.properties.alignedShape.dimensionSize[_find_sides(properties)[1]] = layout.stride
    if layout.is_separate:
        tensor.properties.tensorType = abi.TYPE_IMG_NV12_SEPARATE
    return tensor


def _count_scores(path: Path, properties: abi.TensorProperties) -> int:
    shape = properties.validShape.sizes()
    kind = _type_name(properties.tensorType)
    if kind not in _OUTPUT_TYPES:
        raise ModelError(f"model '{path}' has an output of type {kind}; expected one of "
                         f"{', '.join(_OUTPUT_TYPES)}")
    count = count_scores(path, shape)
    aligned = properties.alignedShape.sizes()
    fits = len(aligned) == len(shape) and all(a >= size for a, size in zip(aligned, shape))
    needed = int(np.prod(aligned)) * np.dtype(_OUTPUT_TYPES[kind]).itemsize
    if not fits or needed > properties.alignedByteSize:
        raise ModelError(
            f"model '{path}' has an output of shape {shape} in {aligned}, "
            f'{properties.alignedByteSize} bytes; expected room for all scores')
    return count


def _type_name(number: int) -> str:
    return abi.TYPE_NAMES[number] if 0 <= number < len(abi.TYPE_NAMES) else str(number)


Dequantiser = Callable[[NDArray[Any]], Scores]


def _make_dequantiser(path: Path, properties: abi.TensorProperties, count: int) -> Dequantiser:
    """Make the function from stored values, shape (scores,), to real ones."""
    if _type_name(properties.tensorType) in _REAL_TYPES:
        # The factors that may be listed all the same are left over from before libdnn's own
        # conversion.
        return lambda stored: stored.astype(np.float32, copy=False)
    if properties.quantiType == abi.QUANTI_SCALE:
        quanti = properties.scale
        scale = _read_factors(path, quanti.scaleData, quanti.scaleLen, count)
        zero = (_read_factors(path, quanti.zeroPointData, quanti.zeroPointLen, count)
                if quanti.zeroPointLen else np.float32(0))
        return lambda stored: (stored.astype(np.float32) - zero) * scale
    if properties.quantiType == abi.QUANTI_SHIFT:
        shift = _read_factors(path, properties.shift.shiftData, properties.shift.shiftLen, count)
        factor = np.exp2(-shift)
        return lambda stored: stored.astype(np.float32) * factor
    return lambda stored: stored.astype(np.float32, copy=False)


def _read_factors(path: Path, data: Any, length: int, count: int) -> NDArray[np.float32]:
    if length not in (1, count) or not data:
        raise ModelError(
            f"model '{path}' has {length} quantisation factors for {count} scores; "
            'expected one, or one for each score')
    return np.array(data[:length], np.float32)


class _Frame:
    """
    What one frame in flight needs: its tensors, its task and the calls that make its way.

    The calls are bound once, since Python's part of a call costs more than what most of them do.
    """

    def __init__(self, backend: LibdnnBackend) -> None:
        self._library = backend._library
        self._allocated = ExitStack()
        self._input = _make_input(backend._input, backend._layout)
        self._output = abi.Tensor(properties=backend._output)
        self.task = c_void_p()
        try:
            sizes = backend._layout.plane_sizes()
            if not backend._layout.is_separate:
                sizes = [max(sizes[0], backend._input.alignedByteSize)]
            planes = [self._allocate(self._input, index, size) for index, size in enumerate(sizes)]
            stored = self._allocate(self._output, 0, backend._output.alignedByteSize)
        except BaseException as error:
            _close_after(error, self.free)
            raise
        self.nv12 = backend._layout.view(planes)
        self.read_scores = _make_reader(
            _view_valid(stored, backend._output), backend._dequantise)
        self._bind_calls(backend._model, len(sizes))

    def _bind_calls(self, model: c_void_p, plane_count: int) -> None:
        bind = self._library.bind
        self.clean_input = [
            bind('hbSysFlushMem', byref(self._input.sysMem[index]), abi.FLUSH_CLEAN)
            for index in range(plane_count)]
        self.infer = bind(
            'hbDNNInfer', byref(self.task), byref(pointer(self._output)), byref(self._input),
            model, byref(abi.InferCtrlParam()))
        self.wait = bind('hbDNNWaitTaskDone', self.task)
        self.invalidate_output = bind(
            'hbSysFlushMem', byref(self._output.sysMem[0]), abi.FLUSH_INVALIDATE)
        self._release = bind('hbDNNReleaseTask', self.task)

    def release_task(self) -> None:
        try:
            if code := self._release():
                self._library.defer_free(code, 'hbDNNReleaseTask', self.task)
        finally:
            self.task.value = None

    def free(self) -> None:
        self._allocated.close()

    def _allocate(self, tensor: Any, index: int, size: int) -> NDArray[np.uint8]:
        memory = pointer(tensor.sysMem[index])
        self._library.call('hbSysAllocCachedMem', memory, size)
        self._allocated.callback(self._library.free, 'hbSysFreeMem', memory)
        address = memory.contents.virAddr
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


def _make_reader(stored: NDArray[Any], dequantise: Dequantiser) -> Callable[[], Scores]:
    """Make the function that returns the real scores, shape (scores,), of an output."""
    if stored.flags.c_contiguous:
        flat = stored.reshape(-1)
        return lambda: dequantise(flat)
    return lambda: dequantise(stored.reshape(-1))


def _view_valid(stored: NDArray[np.uint8], properties: abi.TensorProperties) -> NDArray[Any]:
    """View the values of an output without the padding between and behind them."""
    dtype = np.dtype(_OUTPUT_TYPES[_type_name(properties.tensorType)])
    valid, aligned = properties.validShape.sizes(), properties.alignedShape.sizes()
    padded = stored[:int(np.prod(aligned)) * dtype.itemsize].view(dtype).reshape(aligned)
    values: NDArray[Any] = padded[tuple(slice(size) for size in valid)]
    return values


class _LibdnnSession(Session):

    def __init__(self, backend: LibdnnBackend) -> None:
        self._backend = backend
        self._library = backend._library
        self._overdue_tasks = backend._overdue_tasks
        self._frame: Optional[_Frame] = _Frame(backend)

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._own_frame().nv12

    def run(self, timeout: float) -> Scores:
        self._overdue_tasks.check_room()
        frame = self._own_frame()
        for clean in frame.clean_input:
            if code := clean():
                raise self._library.make_error('hbSysFlushMem', code)
        if code := frame.infer():
            frame.task.value = None
            raise self._make_inference_error('hbDNNInfer', code)
        if code := frame.wait(_SLICE_MS if timeout > _SLICE else _to_milliseconds(timeout)):
            self._wait_on(frame, code, timeout)
        flush_code = frame.invalidate_output()
        frame.release_task()
        if flush_code:
            raise self._library.make_error('hbSysFlushMem', flush_code)
        self._backend.has_inferred = True
        return frame.read_scores()

    def close(self) -> None:
        self._part_with_interrupted()
        frame, self._frame = self._frame, None
        if frame is not None:
            frame.free()

    def _own_frame(self) -> _Frame:
        """Return the frame; a new one if the BPU may still write to the last."""
        self._part_with_interrupted()
        if self._frame is None:
            self._frame = _Frame(self._backend)
        return self._frame

    def _part_with_interrupted(self) -> None:
        """Put a frame aside whose task was begun and then not waited for: by Ctrl-C in a tool."""
        frame = self._frame
        if frame is not None and frame.task.value is not None:
            self._put_aside(frame)

    def _wait_on(self, frame: _Frame, code: int, timeout: float) -> None:
        """Wait for what is left of the timeout after the first slice has failed with a code."""
        left = timeout - _SLICE
        while code == abi.ERROR_TIMEOUT and left > 0:
            if self._backend.cancel_token.is_cancelled:
                self._put_aside(frame)
                raise InferenceCancelledError(
                    'the BPU has not answered yet and is no longer waited for: the node stops '
                    'classifying or reopens the model')
            code = frame.wait(_to_milliseconds(min(left, _SLICE)))
            left -= _SLICE
        if code:
            self._give_up(frame, code, timeout)

    def _give_up(self, frame: _Frame, code: int, timeout: float) -> NoReturn:
        """Part with a task whose wait failed, and tell."""
        error = self._make_inference_error('hbDNNWaitTaskDone', code)
        timed_out = code == abi.ERROR_TIMEOUT
        if timed_out or not _is_over(frame, _SLICE_MS):
            self._put_aside(frame)
        else:
            frame.release_task()
        if timed_out:
            raise InferenceTimeoutError(
                f'the BPU did not answer within inference_timeout, {timeout:g} s: {error}')
        raise error

    def _make_inference_error(self, function: str, code: int) -> LibdnnError:
        is_models_fault = (
            code not in abi.ERRORS_OF_ANY_MODEL and not self._backend.has_inferred)
        return self._library.make_error(
            function, code, _WRONG_CHIP_ADVICE if is_models_fault else '')

    def _put_aside(self, frame: _Frame) -> None:
        """Leave the BPU the memory that it may still write to; the next image gets another."""
        self._frame = None
        self._overdue_tasks.add(frame)


def _to_milliseconds(timeout: float) -> int:
    return int(timeout * 1000) or 1  # 0 would wait for ever


def _is_over(frame: _Frame, wait_ms: int) -> bool:
    """
    Tell whether the BPU has let go of a task, so that its memory may be used or freed.

    The same code can mean two things: the wait failed, or the wait worked and tells that the task
    has failed. Only a second wait tells them apart, since a task that has ended answers the same
    for ever:

    ============== =============== ==========================================================
    first wait     second wait
    ============== =============== ==========================================================
    0              -               over, with a result
    timeout        -               still running
    any other      0               the first wait failed, the task is over
    any other      timeout         the first wait failed, the task still runs
    any other      task failed     the task has failed and is over
    any other      any other       nobody knows, so the memory must be taken for in use
    ============== =============== ==========================================================

    A wait that fails must therefore not answer, three times in a row, with the code of a task that
    has failed.

    :param wait_ms: how long each wait may take; not 0, which would be for ever.
    """
    code = frame.wait(wait_ms)
    if code not in (0, abi.ERROR_TIMEOUT):
        code = frame.wait(wait_ms)
    return code in (0, abi.ERROR_TASK_FAILED)


class _OverdueTasks:
    """Overdue frames, whose memory the BPU may still write to, until they are done."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._overdue: List[_Frame] = []

    def check_room(self) -> None:
        """
        Refuse to start more while too much hangs.

        :raises InferenceTimeoutError: the BPU does not get anything done.
        """
        if len(self._overdue) < _MAX_OVERDUE:
            return
        with self._lock:
            self._reclaim()
            if len(self._overdue) >= _MAX_OVERDUE:
                raise InferenceTimeoutError(
                    f'{len(self._overdue)} inferences never finished: the BPU hangs; restart the '
                    'board if reopening the model does not help')

    def add(self, frame: _Frame) -> None:
        with self._lock:
            self._overdue.append(frame)
            self._reclaim()

    def close(self) -> None:
        """Give everything back but memory that the BPU may still write to."""
        with self._lock, ExitStack() as stack:
            overdue, self._overdue = self._overdue, []
            deadline = time.monotonic() + _LAST_WAIT_MS / 1000
            for frame in overdue:
                left = max(0.0, deadline - time.monotonic())
                if _is_over(frame, _to_milliseconds(left)):
                    stack.callback(frame.free)
                else:
                    stack.callback(_ORPHANED.add, frame)
                stack.callback(frame.release_task)

    def _reclaim(self) -> None:
        for frame in list(self._overdue):
            if _is_over(frame, wait_ms=1):
                self._overdue.remove(frame)
                _release_and_free(frame)


_MAX_ORPHANED = 32
"""Frames; a BPU that hangs for days must not cost more and more, so the oldest are freed."""


class _OrphanedBuffers:
    """
    Frames whose memory the BPU may still write to though their model is closed.

    In the hands of another session such memory would make a late answer that session's. It is
    freed when a task is done that was started later, since the BPU takes tasks in order. All
    models of the process share this list, in whatever threads they are opened and closed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: List[_Frame] = []

    def list(self) -> List[_Frame]:  # noqa: A003
        """Return those that are kept now."""
        with self._lock:
            return self._frames.copy()

    def add(self, frame: _Frame) -> None:
        """
        Keep a frame.

        :raises LibdnnError: the oldest one had to go and could not be freed.
        """
        with self._lock:
            self._frames.append(frame)
            surplus = self._frames[:-_MAX_ORPHANED]
        self.free(surplus)

    def free(self, frames: List[_Frame]) -> None:
        """
        Free those of these frames that nobody else has freed.

        :raises LibdnnError: some could not be freed; that is deferred.
        """
        with self._lock:
            found = [frame for frame in self._frames if frame in frames]
            self._frames = [frame for frame in self._frames if frame not in frames]
        with ExitStack() as stack:
            for frame in found:
                stack.callback(frame.free)


_ORPHANED = _OrphanedBuffers()


def _release_and_free(frame: _Frame) -> None:
    try:
        frame.release_task()
    finally:
        frame.free()
