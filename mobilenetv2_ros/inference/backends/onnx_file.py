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
The operators of an ``.onnx`` file, which onnxruntime does not tell.

A protocol buffer (https://protobuf.dev/programming-guides/encoding/): fields, each with a number
and a wire type, some of which are messages again. Their numbers are those of ``onnx.proto``.
Nothing in the bytes is trusted.
"""

from __future__ import annotations

from typing import Dict, Iterator, List, Optional, Tuple

from mobilenetv2_ros.inference.score_meaning import Operator, read_score_type, ScoreType

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5
_MODEL_GRAPH = 7
_GRAPH_NODE = 1
_NODE_INPUT, _NODE_OUTPUT, _NODE_KIND = 1, 2, 4


def read_onnx(content: bytes, output: str) -> Optional[ScoreType]:
    """
    Read from a file what its network gives.

    :param output: name of the output with the scores.
    :returns: None where the graph does not show it, or cannot be read.
    """
    operators: Dict[str, Operator] = {}
    try:
        for graph in _fields(memoryview(content), _MODEL_GRAPH):
            for node in _fields(graph, _GRAPH_NODE):
                kinds = _texts(node, _NODE_KIND)
                operator = Operator(kinds[-1] if kinds else '', _texts(node, _NODE_INPUT))
                operators.update(dict.fromkeys(_texts(node, _NODE_OUTPUT), operator))
    except (IndexError, ValueError):
        return None
    return read_score_type(operators, output)


def _texts(message: memoryview, wanted: int) -> List[str]:
    return [str(content, 'utf-8') for content in _fields(message, wanted)]


def _fields(message: memoryview, wanted: int) -> Iterator[memoryview]:
    """Yield the contents of a field that is text or a message."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        field, wire_type = key >> 3, key & 7
        if wire_type == _BYTES:
            length, position = _read_varint(message, position)
            if position + length > len(message):
                raise ValueError('a field is longer than its message')
            if field == wanted:
                yield message[position:position + length]
            position += length
        elif wire_type == _VARINT:
            _, position = _read_varint(message, position)
        elif wire_type in (_EIGHT_BYTES, _FOUR_BYTES):
            position += 8 if wire_type == _EIGHT_BYTES else 4
        else:
            raise ValueError(f'wire type {wire_type} is unknown')


def _read_varint(message: memoryview, position: int) -> Tuple[int, int]:
    """Read a number of seven bits a byte; the last byte is below 128."""
    value = shift = 0
    while shift < 64:
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
        shift += 7
    raise ValueError('a number is too long')
