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
from typing import Any, Callable, List, NamedTuple, Optional, Tuple

from mobilenetv2_ros.backends import libdnn_abi as abi
from mobilenetv2_ros.backends.base import (
    Backend, check_input_size, count_scores, InferenceTimeoutError, ModelError, ModelInfo,
    Session)
from mobilenetv2_ros.backends.libdnn_abi import is_installed, LibdnnError, Library
from mobilenetv2_ros.nv12 import Nv12
from mobilenetv2_ros.ranking import Scores
import numpy as np
from numpy.typing import NDArray

__all__ = ['is_installed', 'LibdnnBackend', 'open_model']

_OUTPUT_TYPES = {
    'F32': np.float32, 'F16': np.float16, 'S8': np.int8, 'U8': np.uint8, 'S16': np.int16,
    'S32': np.int32}

_MAX_UNFINISHED = 8
"""Inferences that may be overdue at the same time; libdnn keeps 32 tasks at most."""

_LAST_WAIT_MS = 200
"""How long a task that is overdue is waited for when the model is closed."""


def open_model(path: Path, session_count: int) -> Backend:
    """
    Open a model on the BPU.

    :param session_count: not needed: the BPU divides itself.
    :raises BackendMissingError: this machine has no libdnn.
    :raises ModelError: the model is damaged or takes other pictures than NV12.
    :raises LibdnnError: the library refuses.
    """
    return LibdnnBackend(path, Library())


class LibdnnBackend(Backend):
    """A model, opened once; see :class:`mobilenetv2_ros.backends.base.Backend`."""

    kind = 'libdnn'

    def __init__(self, path: Path, library: Library) -> None:
        """
        Open a model.

        :raises ModelError: the model is damaged or takes other pictures than NV12.
        :raises LibdnnError: the library refuses.
        """
        self._library = library
        self._packed = c_void_p()
        self._unfinished = _Unfinished(library)
        self._opened = ExitStack()
        files = (c_char_p * 1)(os.fsencode(path))
        try:
            library.call('hbDNNInitializeFromFiles', byref(self._packed), files, 1)
        except LibdnnError as error:
            raise ModelError(f"model '{path}' cannot be opened: {error}") from None
        self._opened.callback(library.give_back, 'hbDNNRelease', self._packed)
        self._opened.callback(self._unfinished.close)
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
        layout = _read_input_layout(path, self._input)
        self.info = ModelInfo(name.decode(errors='replace'), layout.height, layout.width,
                              _count_scores(path, self._output))
        self._layout = layout
        self._dequantise = _make_dequantiser(path, self._output, self.info.score_count)

    def open_session(self) -> Session:
        return _LibdnnSession(self)

    def close(self) -> None:
        self._opened.close()

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
                f"model '{path}' has {count.value} {side.lower()}s; expected one picture in and "
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
    """How the NV12 input lies in memory; ``stride`` is the length of a row in bytes."""

    height: int
    width: int
    stride: int
    separate: bool

    def plane_sizes(self) -> List[int]:
        """Return the bytes of each piece of memory."""
        luma = self.stride * self.height
        return [luma, luma // 2] if self.separate else [luma * 3 // 2]

    def view(self, memory: List[NDArray[np.uint8]]) -> Nv12:
        """Lay the planes over the pieces of memory."""
        chroma_at = 0 if self.separate else self.stride * self.height
        rows, columns = self.height // 2, self.width // 2
        return Nv12(
            np.ndarray((self.height, self.width), np.uint8, memory[0], 0, (self.stride, 1)),
            np.ndarray((rows, columns, 2), np.uint8, memory[-1], chroma_at, (self.stride, 2, 1)))


def _read_input_layout(path: Path, properties: abi.TensorProperties) -> _InputLayout:
    kind = properties.tensorType
    if kind not in (abi.TYPE_IMG_NV12, abi.TYPE_IMG_NV12_SEPARATE):
        raise ModelError(
            f"model '{path}' takes pictures of type {_type_name(kind)}; expected NV12")
    valid, aligned = properties.validShape.sizes(), properties.alignedShape.sizes()
    if len(valid) != 4 or len(aligned) != 4 or valid[0] != 1:
        raise ModelError(f"model '{path}' takes an input of shape {valid}; expected one picture")
    rows, columns = (2, 3) if properties.tensorLayout == abi.LAYOUT_NCHW else (1, 2)
    height, width = valid[rows], valid[columns]
    check_input_size(path, height, width)
    return _InputLayout(
        height, width, max(width, aligned[columns]), kind == abi.TYPE_IMG_NV12_SEPARATE)


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


class _Memory:
    """The tensors of one frame in flight."""

    def __init__(self, library: Library, layout: _InputLayout, input_properties: Any,
                 output_properties: Any) -> None:
        self._library = library
        self._allocated = ExitStack()
        self.input = abi.Tensor(properties=input_properties)
        self.output = abi.Tensor(properties=output_properties)
        try:
            sizes = layout.plane_sizes()
            if not layout.separate:
                sizes = [max(sizes[0], input_properties.alignedByteSize)]
            planes = [self._allocate(self.input, index, size) for index, size in enumerate(sizes)]
            stored = self._allocate(self.output, 0, output_properties.alignedByteSize)
        except BaseException as error:
            _close_after(error, self.free)
            raise
        self.nv12 = layout.view(planes)
        self.stored = _view_valid(stored, output_properties)
        self.input_flushes = [pointer(self.input.sysMem[index]) for index in range(len(sizes))]
        self.output_flush = pointer(self.output.sysMem[0])
        self.outputs = pointer(pointer(self.output))

    def free(self) -> None:
        self._allocated.close()

    def _allocate(self, tensor: Any, index: int, size: int) -> NDArray[np.uint8]:
        memory = pointer(tensor.sysMem[index])
        self._library.call('hbSysAllocCachedMem', memory, size)
        self._allocated.callback(self._library.give_back, 'hbSysFreeMem', memory)
        address = memory.contents.virAddr
        return np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(address))


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
        self._call = backend._library.call
        self._give_back = backend._library.give_back
        self._control = abi.InferCtrlParam()
        self._memory: Optional[_Memory] = self._allocate()

    @property
    def input(self) -> Nv12:  # noqa: A003
        return self._own_memory().nv12

    def run(self, timeout: float) -> Scores:
        self._backend._unfinished.check_room()
        memory = self._own_memory()
        task = self._start(memory)
        self._finish(task, memory, timeout)
        return self._backend._dequantise(memory.stored.reshape(-1))

    def close(self) -> None:
        memory, self._memory = self._memory, None
        if memory is not None:
            memory.free()

    def _own_memory(self) -> _Memory:
        """Return the memory; new one if the BPU may still write to the last."""
        if self._memory is None:
            self._memory = self._allocate()
        return self._memory

    def _allocate(self) -> _Memory:
        backend = self._backend
        return _Memory(backend._library, backend._layout, backend._input, backend._output)

    def _start(self, memory: _Memory) -> c_void_p:
        for plane in memory.input_flushes:
            self._call('hbSysFlushMem', plane, abi.FLUSH_CLEAN)
        task = c_void_p()
        self._call('hbDNNInfer', byref(task), memory.outputs, byref(memory.input),
                   self._backend._model, byref(self._control))
        return task

    def _finish(self, task: c_void_p, memory: _Memory, timeout: float) -> None:
        milliseconds = max(1, round(timeout * 1000))
        try:
            self._call('hbDNNWaitTaskDone', task, milliseconds)
        except LibdnnError as error:
            timed_out = error.code == abi.ERROR_TIMEOUT
            if timed_out or not _is_over(self._call, task, milliseconds):
                # The BPU may still write: the next picture needs memory of its own.
                self._memory = None
                self._backend._unfinished.add(task, memory)
            else:
                self._give_back('hbDNNReleaseTask', task)
            if timed_out:
                raise InferenceTimeoutError(
                    f'the BPU did not answer within inference_timeout, {timeout:g} s: {error}'
                ) from None
            raise
        try:
            self._call('hbSysFlushMem', memory.output_flush, abi.FLUSH_INVALIDATE)
        finally:
            self._give_back('hbDNNReleaseTask', task)


def _is_over(call: Callable[..., None], task: c_void_p, wait_ms: int) -> bool:
    """
    Tell whether the BPU has let go of a task.

    A wait may fail while the task still runs: only the second failure counts.
    """
    for _ in range(2):
        try:
            call('hbDNNWaitTaskDone', task, wait_ms)
            return True
        except LibdnnError as error:
            if error.code == abi.ERROR_TIMEOUT:
                return False
    return True


class _Unfinished:
    """Overdue tasks and the memory that the BPU may still write to, until they are done."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._overdue: List[Tuple[c_void_p, _Memory]] = []

    def check_room(self) -> None:
        """
        Refuse to start more while too much hangs.

        :raises InferenceTimeoutError: the BPU does not get anything done.
        """
        if len(self._overdue) < _MAX_UNFINISHED:
            return
        with self._lock:
            self._reclaim()
            if len(self._overdue) >= _MAX_UNFINISHED:
                raise InferenceTimeoutError(
                    f'{len(self._overdue)} inferences never finished: the BPU hangs; restart the '
                    'board if reopening the model does not help')

    def add(self, task: c_void_p, memory: _Memory) -> None:
        with self._lock:
            self._overdue.append((task, memory))
            self._reclaim()

    def close(self) -> None:
        """Give everything back, also what the BPU has not finished."""
        with self._lock, ExitStack() as stack:
            overdue, self._overdue = self._overdue, []
            for task, memory in overdue:
                stack.callback(self._give_back, task, memory)
            for task, _ in overdue:
                _is_over(self._library.call, task, _LAST_WAIT_MS)

    def _reclaim(self) -> None:
        for one in list(self._overdue):
            task, memory = one
            if _is_over(self._library.call, task, wait_ms=1):
                self._overdue.remove(one)
                self._give_back(task, memory)

    def _give_back(self, task: c_void_p, memory: _Memory) -> None:
        try:
            self._library.give_back('hbDNNReleaseTask', task)
        finally:
            memory.free()
