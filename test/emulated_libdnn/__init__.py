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
An emulated libdnn for tests: the BPU of an RDK X5 on any machine that has a C compiler.

`libdnn.c` holds the library and explains what it models, `hb_dnn.h` the vendor's binary interface.
This module builds it, steers it and watches it:

    library = build(tmp_path)
    emulator = load(library)              # the same instance that the code under test opens
    emulator.set('fail_next.hbDNNInfer', 1)
    ...
    assert emulator.get('live_tasks') == 0

Put the folder of the library on LD_LIBRARY_PATH, or hand its path to the code under test.
"""

from __future__ import annotations

from collections.abc import Callable
import ctypes
import math
import os
from pathlib import Path
import shlex
import shutil
import subprocess
import tempfile
from typing import Any, Dict

import numpy as np

SOURCE = Path(__file__).with_name('libdnn.c')
HEADER = Path(__file__).with_name('hb_dnn.h')
#: A model file with the properties of the vendor's mobilenetv2_224x224_nv12.bin.
MODEL = Path(__file__).with_name('mobilenetv2_224x224_nv12.bin')
#: One with those of its rebuild of 2026, mobilenetv2_100_bayese_224x224_nv12.bin, and its timing.
REBUILT_MODEL = Path(__file__).with_name('mobilenetv2_100_bayese_224x224_nv12.bin')
#: Counters of what is taken, each with that of what is given back.
BALANCED = (('allocs', 'frees'), ('tasks', 'releases'), ('packed_opened', 'packed_released'))
#: What is held now.
LIVE = ('live_memory_blocks', 'live_tasks', 'live_packed')
#: Uses of memory that is not there.
MISUSES = ('use_after_free', 'write_after_free', 'overruns')
COMPILER_OPTIONS = ('-std=c11', '-O2', '-g', '-fPIC', '-shared', '-pthread', '-Wall', '-Wextra')

#: uint8 of shape (height * 3 // 2, width), a contiguous NV12 image -> one score per class.
Network = Callable[[np.ndarray], Any]

_NETWORK = ctypes.CFUNCTYPE(
    None, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int32, ctypes.c_int32,
    ctypes.POINTER(ctypes.c_float), ctypes.c_int32, ctypes.c_void_p)


def build(folder: Path) -> Path:
    """
    Compile the emulated library with the system's C compiler: $CC, or cc.

    :param folder: where libdnn.so is put; a library there that is newer than its sources is kept.
    :return: the path of libdnn.so.
    :raises RuntimeError: there is no compiler, or it fails.
    """
    library = folder / 'libdnn.so'
    changed = max(one.stat().st_mtime for one in (SOURCE, HEADER))
    if library.exists() and library.stat().st_mtime > changed:
        return library
    compiler = shlex.split(os.environ.get('CC', '')) or ['cc']
    if shutil.which(compiler[0]) is None:
        raise RuntimeError(
            f'The emulated libdnn needs a C compiler, and "{compiler[0]}" is not there: '
            'install one (Debian, Ubuntu: apt install gcc libc6-dev) or name one in $CC')
    folder.mkdir(parents=True, exist_ok=True)
    # Under another name first: tests that run side by side never load half a library.
    with tempfile.TemporaryDirectory(dir=folder) as workplace:
        fresh = Path(workplace) / library.name
        result = subprocess.run(
            [*compiler, *COMPILER_OPTIONS, str(SOURCE), '-o', str(fresh)],
            capture_output=True, text=True, check=False)
        if result.returncode != 0:
            raise RuntimeError(f'{shlex.join(compiler)} cannot compile {SOURCE}:\n{result.stderr}')
        fresh.replace(library)
    return library


def write_model(path: Path, **keys: object) -> Path:
    """
    Write a model file that differs from the default model in some keys.

    :param path: the file to write, usually *.bin.
    :param keys: what `read_model` in libdnn.c lists, such as `output_type='s8'`. Unless they are
        given too, the aligned sizes are the smallest possible ones.
    :return: the path.
    """
    title, *lines = MODEL.read_text(encoding='ascii').splitlines()
    description: dict[str, object] = {}
    for line in lines:
        key, _, value = line.partition('=')
        description[key] = value
    if 'width' in keys:
        del description['input_aligned_width']
    if 'classes' in keys:
        del description['aligned_classes']
    description.update(keys)
    lines = [f'{key}={int(value) if isinstance(value, bool) else value}'
             for key, value in description.items()]
    path.write_text('\n'.join([title, *lines]) + '\n', encoding='ascii')
    return path


def fingerprint_class(y: np.ndarray, uv: np.ndarray, classes: int = 1000) -> int:
    """
    Compute the class that the network `fingerprint` finds in an image.

    The formula is described in libdnn.c, above `add_rows`.

    :param y: uint8, shape (height, width); a view without its row padding is fine.
    :param uv: uint8, shape (height // 2, width) or (height // 2, width // 2, 2).
    :param classes: the number of classes of the model.
    :return: the class index.
    """
    height, width = y.shape
    words = -(-width // 8)
    rows = np.zeros((height + height // 2, words * 8), np.uint8)
    rows[:height, :width] = y
    rows[height:, :width] = uv.reshape(height // 2, width)
    step, factor, mask = 0x9E3779B97F4A7C15, 0xD6E8FEB86659FD93, (1 << 64) - 1
    mixed = rows.view('<u8').ravel().astype(np.uint64)
    mixed ^= mixed >> np.uint64(32)
    mixed *= np.arange(mixed.size, dtype=np.uint64) * np.uint64(step) | np.uint64(1)
    result = int(mixed.sum(dtype=np.uint64)) * factor & mask
    return (result ^ result >> 32) % classes


class Emulator:
    """The controls of a loaded emulated library."""

    def __init__(self, path: Path) -> None:
        """
        Load the library; one that this process already has is not loaded a second time.

        :param path: what `build` returned.
        """
        self.path = path
        self.library = ctypes.CDLL(str(path))
        #: What a network set with `set_network` raised; its task gave NaN.
        self.network_errors: list[Exception] = []
        self._network: object | None = None
        self.library.emu_set.argtypes = [ctypes.c_char_p, ctypes.c_double]
        self.library.emu_set.restype = ctypes.c_int
        self.library.emu_get.argtypes = [ctypes.c_char_p]
        self.library.emu_get.restype = ctypes.c_double
        self.library.emu_reset.argtypes = []
        self.library.emu_reset.restype = None
        self.library.emu_set_network.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        self.library.emu_set_network.restype = None

    def set(self, key: str, value: float) -> None:  # noqa: A003
        """
        Change a setting or ask for a fault: see SETTINGS and `emu_set` in libdnn.c.

        :param key: such as 'hang' or 'fail_next.hbDNNInfer'.
        :param value: a number; switches are 0 and 1.
        :raises KeyError: there is no such setting.
        """
        if self.library.emu_set(key.encode(), value) != 0:
            raise KeyError(f'The emulated libdnn cannot set {key}={value}')

    def get(self, key: str) -> float:
        """
        Read a counter or a setting: see COUNTERS and `emu_get` in libdnn.c.

        :param key: such as 'live_tasks' or 'calls.hbDNNInfer'.
        :return: its value.
        :raises KeyError: there is no such counter or setting.
        """
        value: float = self.library.emu_get(key.encode())
        if math.isnan(value):
            raise KeyError(f'The emulated libdnn has no {key}')
        return value

    def reset(self) -> None:
        """Set counters to 0 and settings to what they were at load; what is alive stays alive."""
        self.library.emu_reset()

    def set_network(self, network: Network | None) -> None:
        """
        Set the network of models with `network=callback`.

        When this returns, the network before is not running any more. What a network raises is
        kept in `network_errors`.

        :param network: called in the BPU's thread, one image at a time; None: every task fails.
        """
        if network is None:
            self.library.emu_set_network(None, None)
            self._network = None
            return

        def run(nv12: Any, height: int, width: int, scores: Any, classes: int, _: Any) -> None:
            try:
                image = np.ctypeslib.as_array(nv12, (height * 3 // 2, width))
                np.ctypeslib.as_array(scores, (classes,))[:] = network(image)
            except Exception as error:  # noqa: B902 there is no frame above to raise it into
                self.network_errors.append(error)

        callback = _NETWORK(run)
        self.library.emu_set_network(ctypes.cast(callback, ctypes.c_void_p), None)
        self._network = callback  # only now: the one before was alive until it had ended


def load(path: Path) -> Emulator:
    """
    Open the controls of an emulated library.

    :param path: what `build` returned.
    :return: the controls.
    """
    return Emulator(path)


def read_report(path: Path) -> Dict[str, float]:
    """Read what the emulator counted until its process ended, see EMULATED_LIBDNN_REPORT."""
    pairs = (line.split('=') for line in path.read_text(encoding='ascii').splitlines())
    return {key: float(value) for key, value in pairs}


def count_leaks(emulator: Emulator) -> Dict[str, float]:
    """Return what was taken and not given back since the last reset, empty if nothing."""
    return find_leaks(emulator.get)


def find_leaks(get: Callable[[str], float]) -> Dict[str, float]:
    """
    Return what was taken and not given back and what was misused, empty if nothing.

    :param get: of an emulator, or of what :func:`read_report` returns.
    """
    counts = {f'{taken} - {given}': get(taken) - get(given) for taken, given in BALANCED}
    counts.update((key, get(key)) for key in (*LIVE, *MISUSES))
    return {key: count for key, count in counts.items() if count}
