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
The C interface of ``libdnn.so`` 1.x, the vendor's inference library on RDK X5 boards.

Structures, enumerations and functions as in the headers ``dnn/hb_dnn.h``, ``dnn/hb_sys.h`` and
``dnn/hb_dnn_status.h`` of the Debian package hobot-dnn, natural alignment, 64 bit.
"""

from __future__ import annotations

import ctypes
from ctypes import (
    c_char_p, c_float, c_int32, c_int64, c_int8, c_uint32, c_uint64, c_uint8, c_void_p, POINTER,
    Structure)
from functools import partial
import threading
from typing import Any, Dict, List, NoReturn, Tuple

from mobilenetv2_ros.inference.backends.base import BackendError, BackendMissingError

LIBRARIES: Tuple[str, ...] = (
    'libdnn.so', '/usr/hobot/lib/libdnn.so', '/usr/lib/hobot/libdnn.so')
"""The library: as the dynamic loader finds it, else where boards keep it."""

LAYOUT_NHWC, LAYOUT_NCHW = 0, 2
TYPE_IMG_NV12, TYPE_IMG_NV12_SEPARATE = 1, 2
TYPE_NAMES = ('Y', 'NV12', 'NV12_SEPARATE', 'YUV444', 'RGB', 'BGR', 'S4', 'U4', 'S8', 'U8', 'F16',
              'S16', 'U16', 'F32', 'S32', 'U32', 'F64', 'S64', 'U64')
QUANTI_NONE, QUANTI_SHIFT, QUANTI_SCALE = 0, 1, 2
FLUSH_INVALIDATE, FLUSH_CLEAN = 1, 2
ERROR_TIMEOUT, ERROR_TASK_FAILED = -6000008, -6000012
ERRORS_OF_ANY_MODEL = -6000007, ERROR_TIMEOUT, -6000009, -6000016
"""Of a BPU that has too much to do, or of a process that was forked, whatever the model."""

_ERRORS: Dict[int, Tuple[str, str]] = {
    -6000001: ('invalid argument', 'the library may be of another version than 1.x'),
    -6000002: ('invalid model', 'the file is damaged or no model for this board; fetch it again'),
    -6000003: ('too many models', 'close other programs that use the BPU'),
    -6000004: ('invalid packed model handle', 'restart the node'),
    -6000005: ('invalid model handle', 'restart the node'),
    -6000006: ('cannot open the file', 'check that it exists and may be read'),
    -6000007: ('out of memory', 'close other programs that use the BPU or lower thread_count'),
    -6000008: ('timeout', 'the BPU is overloaded or hangs; raise inference_timeout'),
    -6000009: ('too many tasks', 'lower thread_count'),
    -6000010: ('batch too large', 'use a model for one image'),
    -6000011: ('invalid task handle', 'restart the node'),
    -6000012: ('the task failed on the BPU', 'see the kernel log (dmesg)'),
    -6000013: ('the model is still running', 'restart the node'),
    -6000014: ('incompatible model', 'the model is for another chip or tool chain version'),
    -6000015: ('wrong use of the interface', 'the library may be of another version than 1.x'),
    -6000016: ('used from several processes', 'start the node anew instead of forking it'),
    -6000129: ('invalid memory argument', 'restart the node'),
    -6000130: ('out of BPU memory', 'close other programs that use the BPU or lower thread_count'),
    -6000131: ('memory could not be registered', 'restart the board'),
}


class SysMem(Structure):
    """``hbSysMem``: a piece of memory that both the CPU and the BPU reach."""

    _fields_ = [('phyAddr', c_uint64), ('virAddr', c_void_p), ('memSize', c_uint32)]


class TensorShape(Structure):
    """``hbDNNTensorShape``."""

    _fields_ = [('dimensionSize', c_int32 * 8), ('numDimensions', c_int32)]

    def sizes(self) -> List[int]:
        """Return the sizes that count."""
        return list(self.dimensionSize[:self.numDimensions])


class QuantiShift(Structure):
    """``hbDNNQuantiShift``: real = stored / 2 ** shift."""

    _fields_ = [('shiftLen', c_int32), ('shiftData', POINTER(c_uint8))]


class QuantiScale(Structure):
    """``hbDNNQuantiScale``: real = (stored - zero point) * scale."""

    _fields_ = [('scaleLen', c_int32), ('scaleData', POINTER(c_float)),
                ('zeroPointLen', c_int32), ('zeroPointData', POINTER(c_int8))]


class TensorProperties(Structure):
    """``hbDNNTensorProperties``."""

    _fields_ = [('validShape', TensorShape), ('alignedShape', TensorShape),
                ('tensorLayout', c_int32), ('tensorType', c_int32),
                ('shift', QuantiShift), ('scale', QuantiScale), ('quantiType', c_int32),
                ('quantizeAxis', c_int32), ('alignedByteSize', c_int32), ('stride', c_int32 * 8)]


class Tensor(Structure):
    """``hbDNNTensor``."""

    _fields_ = [('sysMem', SysMem * 4), ('properties', TensorProperties)]


class InferCtrlParam(Structure):
    """``hbDNNInferCtrlParam``; all zero: any core, lowest priority."""

    _fields_ = [('bpuCoreId', c_int32), ('dspCoreId', c_int32), ('priority', c_int32),
                ('more', c_int32), ('customId', c_int64), ('reserved1', c_int32),
                ('reserved2', c_int32)]


_FUNCTIONS: Dict[str, List[Any]] = {
    'hbDNNInitializeFromFiles': [POINTER(c_void_p), POINTER(c_char_p), c_int32],
    'hbDNNRelease': [c_void_p],
    'hbDNNGetModelNameList': [POINTER(POINTER(c_char_p)), POINTER(c_int32), c_void_p],
    'hbDNNGetModelHandle': [POINTER(c_void_p), c_void_p, c_char_p],
    'hbDNNGetInputCount': [POINTER(c_int32), c_void_p],
    'hbDNNGetOutputCount': [POINTER(c_int32), c_void_p],
    'hbDNNGetInputTensorProperties': [POINTER(TensorProperties), c_void_p, c_int32],
    'hbDNNGetOutputTensorProperties': [POINTER(TensorProperties), c_void_p, c_int32],
    'hbDNNInfer': [POINTER(c_void_p), POINTER(POINTER(Tensor)), POINTER(Tensor), c_void_p,
                   POINTER(InferCtrlParam)],
    'hbDNNWaitTaskDone': [c_void_p, c_int32],
    'hbDNNReleaseTask': [c_void_p],
    'hbSysAllocCachedMem': [POINTER(SysMem), c_uint32],
    'hbSysFlushMem': [POINTER(SysMem), c_int32],
    'hbSysFreeMem': [POINTER(SysMem)],
}

_SHORT_FUNCTIONS = ('hbSysFlushMem', 'hbDNNInfer', 'hbDNNReleaseTask')
"""Those that come with every frame and are so short that giving the interpreter lock up would cost
more, up to a switch interval, than they take. The others let other Python threads run: they wait
for the BPU, or open and close what may hang."""

_FREE_ATTEMPTS = 4

_MAX_DESCRIPTION = 100


class LibdnnError(BackendError):
    """A function of libdnn failed; ``code`` is what it returned."""

    def __init__(self, function: str, code: int, description: str = '', advice: str = '') -> None:
        """
        Compose a sentence of function, code, meaning and advice.

        :param description: of the code in the library's own words, where it has some.
        :param advice: what to do, if something better is known than what fits the code.
        """
        meaning, usual_advice = _ERRORS.get(
            code, ('an undocumented error', 'see the kernel log (dmesg)'))
        own_words = f' (libdnn: "{description}")' if description else ''
        super().__init__(
            f'{function} failed with {code}, {meaning}{own_words}: {advice or usual_advice}')
        self.code = code


class _DeferredFrees:
    """Frees that libdnn refused, until it does them: 32 lost tasks would be the end of it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: List[partial[int]] = []

    def add(self, call: partial[int]) -> None:
        with self._lock:
            self._calls.append(call)

    def retry(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
        # Without the lock: a call that hangs must not hang all who close something after it.
        refused = [call for call in calls if call()]
        with self._lock:
            self._calls = refused + self._calls


_DEFERRED_FREES = _DeferredFrees()


def _find_optional(library: Any, name: str, argument_types: List[Any]) -> Any:
    """Find a function that returns a text, or None: not all versions have it."""
    function = getattr(library, name, None)
    if function is not None:
        function.argtypes, function.restype = argument_types, c_char_p
    return function


def _copy_handle(argument: Any) -> Any:
    return c_void_p(argument.value) if isinstance(argument, c_void_p) else argument


class Library:
    """libdnn, loaded; :meth:`call` makes an error code an exception."""

    _get_description: Any = None

    def __init__(self) -> None:
        """
        Load the library the way the dynamic loader finds it, else from the board's folders.

        :raises BackendMissingError: there is no library, or one without these functions.
        """
        path = _find_library()
        # Two views of one library: with PyDLL a call keeps the interpreter lock.
        short = ctypes.PyDLL(path)
        others = ctypes.CDLL(path)
        self._functions: Dict[str, Any] = {}
        self._views = {
            name: short if name in _SHORT_FUNCTIONS else others for name in _FUNCTIONS}
        for name, argument_types in _FUNCTIONS.items():
            try:
                function = getattr(self._views[name], name)
            except AttributeError:
                raise BackendMissingError(
                    f"'{path}' has no function {name}; expected libdnn 1.x of the package "
                    'hobot-dnn') from None
            function.argtypes, function.restype = argument_types, c_int32
            self._functions[name] = function
        self._get_description = _find_optional(short, 'hbDNNGetErrorDesc', [c_int32])
        self._get_version = _find_optional(short, 'hbDNNGetVersion', [])

    def get_version(self) -> str:
        """Return what the library calls its version."""
        found = self._get_version() if self._get_version is not None else None
        return (found or b'unknown').decode(errors='replace')

    def make_error(self, name: str, code: int, advice: str = '') -> LibdnnError:
        """
        Make the error that a function failed.

        :param advice: what to do, if something better is known than what fits the code.
        """
        found = self._get_description(code) if self._get_description is not None else None
        description = ' '.join((found or b'').decode(errors='replace').split())
        return LibdnnError(name, code, description[:_MAX_DESCRIPTION], advice)

    def call(self, name: str, *arguments: Any) -> None:
        """
        Call a function.

        :raises LibdnnError: it returned another code than 0.
        """
        if code := self._functions[name](*arguments):
            raise self.make_error(name, code)

    def bind(self, name: str, *arguments: Any) -> partial[int]:
        """
        Bind a function to its first arguments, for calls that come with every frame.

        Types are not checked at the call, which would take longer than the call itself.

        :param arguments: ctypes objects of the types of this function.
        :return: calls the function with these and further arguments; returns its code.
        """
        return partial(self._views[name][name], *arguments)

    def free(self, name: str, *arguments: Any) -> None:
        """
        Call a function that frees something; if it refuses, retry before telling.

        :raises LibdnnError: it refused, be it only the first time.
        """
        if code := self._functions[name](*arguments):
            self.defer_free(code, name, *arguments)

    def defer_free(self, code: int, name: str, *arguments: Any) -> NoReturn:
        """
        Retry a function that frees something and has refused; then tell.

        :param code: what it returned.
        :raises LibdnnError: always.
        """
        for _ in range(_FREE_ATTEMPTS - 1):
            if not self._functions[name](*arguments):
                break
        else:
            # Copied: the caller goes on to use its variable for another handle.
            _DEFERRED_FREES.add(partial(self._functions[name], *map(_copy_handle, arguments)))
        raise self.make_error(name, code)

    def retry_deferred_frees(self) -> None:
        """Retry, in their order, all frees that were refused until now, also of closed models."""
        _DEFERRED_FREES.retry()


def is_installed() -> bool:
    """Tell whether the library can be loaded."""
    try:
        _find_library()
    except BackendMissingError:
        return False
    return True


def _find_library() -> str:
    causes = []
    for path in LIBRARIES:
        try:
            ctypes.CDLL(path)
            return path
        except OSError as error:
            causes.append(str(error))
    # The loader's words differ where the library is there but lacks one that it needs itself.
    cause = next((one for one in causes if 'libdnn.so: cannot open' not in one), causes[0])
    raise BackendMissingError(
        f'libdnn.so cannot be loaded ({cause}); .bin models need an RDK X5 board with the Debian '
        'package hobot-dnn')
