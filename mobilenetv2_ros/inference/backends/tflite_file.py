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
What stands in a ``.tflite`` file beside the network: its operators, and metadata.

A flat buffer (https://flatbuffers.dev/internals/) by TensorFlow Lite's ``schema.fbs``. The
metadata is another one inside it, by ``metadata_schema.fbs`` of tflite-support, and the files that
it names, labels among them, are a ZIP archive behind the flat buffer. Fields are numbered as in
these schemas. Nothing in the bytes is trusted.
"""

from __future__ import annotations

import io
import math
import struct
from typing import Dict, List, NamedTuple, Optional, Tuple
import zipfile
import zlib

from mobilenetv2_ros.inference.model_description import Normalisation, Triple
from mobilenetv2_ros.inference.score_meaning import Operator, read_score_type, ScoreType

_OPERATORS = {
    0: 'Add', 1: 'AveragePool', 3: 'Conv', 6: 'DequantizeLinear', 9: 'Gemm', 14: 'Sigmoid',
    19: 'Relu', 21: 'Relu', 22: 'Reshape', 25: 'Softmax', 39: 'Transpose', 40: 'ReduceMean',
    43: 'Squeeze', 50: 'LogSoftmax', 53: 'Cast', 70: 'Unsqueeze', 114: 'QuantizeLinear',
    126: 'MatMul'}
"""Those that classifiers end with, by their number: what ONNX calls them."""

_METADATA_NAME = b'TFLITE_METADATA'
_NORMALIZATION = 1
_AXIS_LABELS = 2
_MAX_LABEL_BYTES = 16 << 20

_DAMAGES = (IndexError, struct.error, ValueError, zlib.error)


class TfliteFacts(NamedTuple):
    """
    What a file says of its network.

    :param score_type: None where the graph does not show it.
    :param labels: the text of the label file that is packed into it, empty if there is none.
    """

    score_type: Optional[ScoreType] = None
    normalisation: Optional[Normalisation] = None
    labels: str = ''


class _Table:
    """A table of a flat buffer: fields by number, each of which may be missing."""

    def __init__(self, buffer: memoryview, position: int) -> None:
        self._buffer = buffer
        self._position = position
        self._vtable = position - _unpack(buffer, position, 'i')

    def number(self, field: int, form: str, default: int = 0) -> int:
        position = self._find(field)
        return default if position is None else _unpack(self._buffer, position, form)

    def table(self, field: int) -> Optional[_Table]:
        position = self._find(field)
        return None if position is None else _Table(
            self._buffer, position + _unpack(self._buffer, position, 'I'))

    def tables(self, field: int) -> List[_Table]:
        start, length = self._vector(field, 4)
        places = [start + 4 * index for index in range(length)]
        return [_Table(self._buffer, place + _unpack(self._buffer, place, 'I'))
                for place in places]

    def numbers(self, field: int, form: str) -> Tuple[float, ...]:
        start, length = self._vector(field, 4)
        return struct.unpack_from(f'<{length}{form}', self._buffer, start)

    def content(self, field: int) -> memoryview:
        start, length = self._vector(field, 1)
        return self._buffer[start:start + length]

    def _vector(self, field: int, size: int) -> Tuple[int, int]:
        position = self._find(field)
        if position is None:
            return 0, 0
        start = position + _unpack(self._buffer, position, 'I')
        length = _unpack(self._buffer, start, 'I')
        if start + 4 + length * size > len(self._buffer):
            raise ValueError('a list is longer than the file')
        return start + 4, length

    def _find(self, field: int) -> Optional[int]:
        slot = 4 + 2 * field
        if slot >= _unpack(self._buffer, self._vtable, 'H'):
            return None
        offset = _unpack(self._buffer, self._vtable + slot, 'H')
        return self._position + offset if offset else None


def _unpack(buffer: memoryview, position: int, form: str) -> int:
    if position < 0:
        raise ValueError('an offset leads before the file')
    value: int = struct.unpack_from('<' + form, buffer, position)[0]
    return value


def read_tflite(content: bytes, output: int) -> TfliteFacts:
    """
    Read what a file says beside its network.

    :param output: index of the output with the scores.
    :returns: what could be read; what is damaged counts as missing.
    """
    try:
        buffer = memoryview(content)
        model = _Table(buffer, _unpack(buffer, 0, 'I'))
        graph = model.tables(2)[0]
        score_type = _read_end(model, graph, output)
    except _DAMAGES:
        return TfliteFacts()
    facts = TfliteFacts(score_type)
    try:
        metadata = _find_metadata(model)
        if metadata is None:
            return facts
        facts = facts._replace(normalisation=_read_normalisation(metadata))
        return facts._replace(labels=_read_labels(content, metadata, output))
    except _DAMAGES:
        return facts


def _read_end(model: _Table, graph: _Table, output: int) -> Optional[ScoreType]:
    # Numbers that did not fit into a byte have got a field of their own.
    codes = [max(code.number(0, 'b'), code.number(3, 'i')) for code in model.tables(1)]
    operators: Dict[str, Operator] = {}
    for operator in graph.tables(3):
        name = _OPERATORS.get(codes[operator.number(0, 'I')], '')
        inputs = [str(one) for one in operator.numbers(1, 'i')]
        for tensor in operator.numbers(2, 'i'):
            operators[str(tensor)] = Operator(name, inputs)
    return read_score_type(operators, str(graph.numbers(2, 'i')[output]))


def _find_metadata(model: _Table) -> Optional[_Table]:
    """Find the metadata of the only graph."""
    for entry in model.tables(6):
        if bytes(entry.content(0)) == _METADATA_NAME:
            buffer = model.tables(4)[entry.number(1, 'I')].content(0)
            return _Table(buffer, _unpack(buffer, 0, 'I')).tables(3)[0]
    return None


def _read_normalisation(metadata: _Table) -> Optional[Normalisation]:
    for unit in metadata.tables(2)[0].tables(4) if metadata.tables(2) else ():
        options = unit.table(1)
        if unit.number(0, 'B') != _NORMALIZATION or options is None:
            continue
        mean, std = (_spread(options.numbers(field, 'f')) for field in (0, 1))
        if mean and std and min(std) > 0:
            return Normalisation((0.0, 255.0), mean, std)
    return None


def _spread(values: Tuple[float, ...]) -> Optional[Triple]:
    """Take one value for all channels."""
    if len(values) not in (1, 3) or not all(map(math.isfinite, values)):
        return None
    return (values[0],) * 3 if len(values) == 1 else (values[0], values[1], values[2])


def _read_labels(content: bytes, metadata: _Table, output: int) -> str:
    tensors = metadata.tables(3)
    files = tensors[output].tables(6) if output < len(tensors) else []
    names = [bytes(one.content(0)) for one in files if one.number(2, 'b') == _AXIS_LABELS]
    if not names:
        return ''
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            with archive.open(names[0].decode()) as file:
                text = file.read(_MAX_LABEL_BYTES + 1)
    except (KeyError, OSError, RuntimeError, zipfile.BadZipFile, zipfile.LargeZipFile):
        return ''
    return text.decode('utf-8-sig') if len(text) <= _MAX_LABEL_BYTES else ''
