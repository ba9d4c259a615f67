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

"""The structures of libdnn against the table of its documentation, and how it is found."""

from __future__ import annotations

from collections import defaultdict
import ctypes
from functools import partial
from pathlib import Path
import subprocess
import threading
from typing import Any, Dict, List, Optional, Tuple

from mobilenetv2_ros.inference.backends import libdnn_abi as abi
from mobilenetv2_ros.inference.backends.base import BackendMissingError
import pytest
from support.fixture_types import StartPython

Field = Tuple[str, str, int, int]

# Structure, the vendor's name of the field, offset, size: natural alignment, 64 bit.
FIELDS: List[Field] = [
    ('SysMem', 'phyAddr', 0, 8),
    ('SysMem', 'virAddr', 8, 8),
    ('SysMem', 'memSize', 16, 4),
    ('TensorShape', 'dimensionSize', 0, 32),
    ('TensorShape', 'numDimensions', 32, 4),
    ('QuantiShift', 'shiftLen', 0, 4),
    ('QuantiShift', 'shiftData', 8, 8),
    ('QuantiScale', 'scaleLen', 0, 4),
    ('QuantiScale', 'scaleData', 8, 8),
    ('QuantiScale', 'zeroPointLen', 16, 4),
    ('QuantiScale', 'zeroPointData', 24, 8),
    ('TensorProperties', 'validShape', 0, 36),
    ('TensorProperties', 'alignedShape', 36, 36),
    ('TensorProperties', 'tensorLayout', 72, 4),
    ('TensorProperties', 'tensorType', 76, 4),
    ('TensorProperties', 'shift', 80, 16),
    ('TensorProperties', 'scale', 96, 32),
    ('TensorProperties', 'quantiType', 128, 4),
    ('TensorProperties', 'quantizeAxis', 132, 4),
    ('TensorProperties', 'alignedByteSize', 136, 4),
    ('TensorProperties', 'stride', 140, 32),
    ('Tensor', 'sysMem', 0, 96),
    ('Tensor', 'properties', 96, 176),
    ('InferCtrlParam', 'bpuCoreId', 0, 4),
    ('InferCtrlParam', 'dspCoreId', 4, 4),
    ('InferCtrlParam', 'priority', 8, 4),
    ('InferCtrlParam', 'more', 12, 4),
    ('InferCtrlParam', 'customId', 16, 8),
    ('InferCtrlParam', 'reserved1', 24, 4),
    ('InferCtrlParam', 'reserved2', 28, 4)]

SIZES = {
    'SysMem': 24, 'TensorShape': 36, 'QuantiShift': 16, 'QuantiScale': 32,
    'TensorProperties': 176, 'Tensor': 272, 'InferCtrlParam': 32}


@pytest.mark.parametrize('structure, name, offset, size', FIELDS)
def test_each_field_is_where_the_library_has_it(
        structure: str, name: str, offset: int, size: int) -> None:
    field = getattr(getattr(abi, structure), name)
    assert (field.offset, field.size) == (offset, size)


@pytest.mark.parametrize('structure', SIZES)
def test_each_structure_has_its_size_and_no_other_fields(structure: str) -> None:
    fields: Dict[str, List[str]] = defaultdict(list)
    for owner, name, _, _ in FIELDS:
        fields[owner].append(name)
    kind = getattr(abi, structure)
    assert ctypes.sizeof(kind) == SIZES[structure]
    assert [name for name, *_ in kind._fields_] == fields[structure]


def test_tensor_types_are_numbered_as_in_the_header() -> None:
    numbers = {name: number for number, name in enumerate(abi.TYPE_NAMES)}
    assert numbers['NV12'] == abi.TYPE_IMG_NV12 == 1
    assert numbers['NV12_SEPARATE'] == abi.TYPE_IMG_NV12_SEPARATE == 2
    assert [numbers[name] for name in ('S8', 'U8', 'F16', 'S16', 'F32', 'S32', 'U64')] == [
        8, 9, 10, 11, 13, 14, 18]


def compile_library(folder: Path, source: str, *options: str, name: str = 'libdnn.so') -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    subprocess.run(
        ['cc', '-shared', '-fPIC', '-x', 'c', '-', '-o', str(path), *options], input=source,
        text=True, check=True)
    return path


def look_in(monkeypatch: pytest.MonkeyPatch, *folders: Path) -> None:
    monkeypatch.setattr(abi, 'LIBRARIES', tuple(str(one / 'libdnn.so') for one in folders))


def refusal() -> str:
    with pytest.raises(BackendMissingError) as caught:
        abi.Library()
    sentence = str(caught.value)
    assert '\n' not in sentence
    return sentence


def test_without_a_library_it_says_what_is_needed(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    look_in(monkeypatch, tmp_path)
    assert 'RDK X5' in refusal() and 'hobot-dnn' in refusal()
    assert not abi.is_installed()


def test_folders_are_searched_in_their_order(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second = (compile_library(tmp_path / name, f'int library_{name}(void) {{ return 0; }}')
                     for name in ('first', 'second'))
    look_in(monkeypatch, tmp_path / 'empty', first.parent, second.parent)
    assert abi._find_library() == str(first)
    look_in(monkeypatch, second.parent, first.parent)
    assert abi._find_library() == str(second)


def test_the_boards_folders_are_known() -> None:
    assert abi.LIBRARIES[1:] == ('/usr/hobot/lib/libdnn.so', '/usr/lib/hobot/libdnn.so')


def test_the_dynamic_loader_is_asked_first(start_python: StartPython) -> None:
    output, errors = start_python('-c', '\n'.join([
        'from mobilenetv2_ros.inference.backends import libdnn_abi as abi',
        'abi.Library()',
        'print(abi._find_library())'])).communicate(timeout=60)
    assert (output.strip(), errors) == ('libdnn.so', '')


def test_a_library_without_a_function_is_named(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = compile_library(tmp_path, 'int hbDNNRelease(void *p) { return p != 0; }')
    look_in(monkeypatch, tmp_path)
    sentence = refusal()
    assert str(path) in sentence and 'hbDNNInitializeFromFiles' in sentence
    assert 'libdnn 1.x' in sentence


def test_what_the_library_itself_lacks_is_told(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    needed = compile_library(tmp_path, 'int helper(void) { return 0; }', name='libneeded.so')
    compile_library(
        tmp_path, 'int helper(void); int use(void) { return helper(); }', f'-L{tmp_path}',
        '-lneeded')
    needed.unlink()
    look_in(monkeypatch, tmp_path / 'empty', tmp_path)
    assert 'libneeded.so' in refusal()


def test_a_file_that_is_no_library_is_told(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / 'libdnn.so').write_text('no library ' * 100)
    look_in(monkeypatch, tmp_path)
    assert 'invalid ELF header' in refusal()


@pytest.mark.parametrize('code, meaning, advice', [
    (-6000002, 'invalid model', 'fetch it again'),
    (-6000006, 'cannot open the file', 'check that it exists'),
    (-6000008, 'timeout', 'raise inference_timeout'),
    (-6000009, 'too many tasks', 'lower thread_count'),
    (-6000130, 'out of BPU memory', 'lower thread_count'),
    (-1, 'an undocumented error', 'dmesg')])
def test_an_error_tells_call_code_meaning_and_advice(code: int, meaning: str, advice: str) -> None:
    error = abi.LibdnnError('hbDNNInfer', code)
    assert error.code == code
    assert str(error).startswith(f'hbDNNInfer failed with {code}, {meaning}')
    assert advice in str(error)


def test_an_error_tells_the_librarys_own_words_and_better_advice() -> None:
    error = abi.LibdnnError('hbDNNInfer', -6000012, 'Run task failed', 'buy another board')
    assert str(error) == (
        'hbDNNInfer failed with -6000012, the task failed on the BPU (libdnn: "Run task failed"): '
        'buy another board')


DESCRIBING = 'const char *hbDNNGetErrorDesc(int code) { return code == -1 ? TEXT : 0; }'


@pytest.mark.parametrize('text, expected', [
    ('"Oh no"', ' (libdnn: "Oh no")'),
    ('"Oh\\n\\xff  no"', ' (libdnn: "Oh \ufffd no")'),
    ('""', ''), ('0', ''), (None, '')])
def test_the_librarys_own_words_are_taken_if_it_has_some(
        monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: Optional[str],
        expected: str) -> None:
    functions = [f'int {name}(void) {{ return -1; }}' for name in abi._FUNCTIONS]
    if text is not None:
        functions.append(DESCRIBING.replace('TEXT', text))
    compile_library(tmp_path, '\n'.join(functions))
    look_in(monkeypatch, tmp_path)
    with pytest.raises(abi.LibdnnError) as caught:
        abi.Library().call('hbDNNRelease', None)
    assert str(caught.value) == (
        f'hbDNNRelease failed with -1, an undocumented error{expected}: see the kernel log (dmesg)'
    )


def test_every_documented_code_has_a_meaning_and_advice() -> None:
    documented = {*range(-6000016, -6000000), *range(-6000131, -6000128)}
    assert set(abi._ERRORS) == documented
    assert all(meaning and advice for meaning, advice in abi._ERRORS.values())


class _Refusing(abi.Library):
    """A library whose only function refuses a number of times."""

    def __init__(self, refusals: int) -> None:
        self.calls = 0

        def function(*_: Any) -> int:
            self.calls += 1
            return -6000011 if self.calls <= refusals else 0

        self._functions = {'hbDNNReleaseTask': function}


@pytest.mark.parametrize('refusals, calls', [(1, 2), (2, 3), (1000, 4)])
def test_what_is_not_taken_back_is_offered_again_and_told(refusals: int, calls: int) -> None:
    library = _Refusing(refusals)
    with pytest.raises(abi.LibdnnError, match='hbDNNReleaseTask failed with -6000011'):
        library.free('hbDNNReleaseTask', None)
    assert library.calls == calls


def test_what_is_taken_back_is_offered_once() -> None:
    library = _Refusing(0)
    library.free('hbDNNReleaseTask', None)
    assert library.calls == 1


def test_a_free_that_hangs_keeps_nobody_from_freeing_something_else() -> None:
    frees = abi._DeferredFrees()
    begun, go_on = threading.Event(), threading.Event()

    def hang() -> int:
        begun.set()
        go_on.wait(60)
        return -1

    frees.add(partial(hang))
    hanging = threading.Thread(target=frees.retry)
    hanging.start()
    assert begun.wait(60)
    freed: List[str] = []
    frees.add(partial(lambda: freed.append('other') or 0))  # type: ignore[func-returns-value]
    frees.retry()
    assert freed == ['other']
    go_on.set()
    hanging.join()
    assert len(frees._calls) == 1
