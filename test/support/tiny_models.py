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
Models of a few bytes whose scores are the input tensor itself, value by value, or its mean colour.

ONNX files are protocol buffers (https://onnx.ai/onnx/intro/concepts.html), written here by hand;
TensorFlow Lite files are flat buffers, written with the schema that LiteRT brings along.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import numpy as np

Size = Union[int, str]

ONNX_TYPES: Dict[str, int] = {
    'float32': 1, 'uint8': 2, 'int8': 3, 'int32': 6, 'float16': 10, 'float64': 11}


def write_onnx(path: Path, shape: Sequence[Size], dtype: str = 'float32',
               outputs: Sequence[Sequence[Size]] = (), inputs: int = 1,
               offset: Optional[Path] = None) -> Path:
    """
    Write a model that casts its first input to float32 and reshapes it.

    :param offset: a file in the model's folder, which gets a float that the model adds.
    :param shape: of each input; a text is the name of a size that is left open.
    :param outputs: their shapes, by default one of [1, number of values].
    """
    count = int(np.prod([size for size in shape if isinstance(size, int)]))
    outputs = outputs or [(1, count)]
    graph = _field(1, _node('Cast', ['in0'], 'cast', _field(1, b'to') + _number(3, 1)
                            + _number(20, 2)))
    values = 'cast'
    if offset is not None:
        offset.write_bytes(np.float32(0.5).tobytes())
        location = _field(1, b'location') + _field(2, offset.name.encode())
        graph += _field(5, _number(1, 1) + _number(2, 1) + _field(8, b'offset')
                        + _field(13, location) + _number(14, 1))
        values = 'sum'
        graph += _field(1, _node('Add', ['cast', 'offset'], values))
    for index, output in enumerate(outputs):
        known = [size if isinstance(size, int) else -1 for size in output]
        graph += _field(5, _number(1, len(known)) + _number(2, 7) + _field(
            8, f'shape{index}'.encode()) + _field(9, np.array(known, np.int64).tobytes()))
        graph += _field(1, _node('Reshape', [values, f'shape{index}'], f'out{index}'))
    graph += _field(2, b'tiny')
    for index in range(inputs):
        graph += _field(11, _value(f'in{index}', ONNX_TYPES[dtype], shape))
    for index, output in enumerate(outputs):
        graph += _field(12, _value(f'out{index}', 1, output))
    path.write_bytes(
        _number(1, 8) + _field(7, graph) + _field(8, _field(1, b'') + _number(2, 13)))
    return path


def write_colour_onnx(path: Path, weights: Any, bias: Sequence[float],
                      tail: Sequence[str] = (), shape: Sequence[Size] = (1, 3, 8, 8),
                      classes: Optional[Size] = None, more_outputs: Sequence[str] = ()) -> Path:
    """
    Write a model of the mean colour: weights times colour plus bias, then more operators.

    :param weights: for each class those of red, green and blue.
    :param tail: names of operators with one input, at the end.
    :param shape: of the input, channels first.
    :param more_outputs: of what operator names, as ``Flatten``; the scores are the first output.
    """
    count = len(bias)
    names = ['GlobalAveragePool', 'Flatten', 'Gemm', *tail]
    graph, value = b'', 'x'
    for index, name in enumerate(names):
        output = 'scores' if index == len(names) - 1 else name
        inputs = [value, 'weights', 'bias'] if name == 'Gemm' else [value]
        graph, value = graph + _field(1, _node(name, inputs, output)), output
    for name, array in (('weights', np.array(weights, np.float32).T),
                        ('bias', np.array(bias, np.float32))):
        graph += _field(5, b''.join(_number(1, size) for size in array.shape) + _number(2, 1)
                        + _field(8, name.encode()) + _field(9, array.tobytes()))
    graph += _field(2, b'colour') + _field(11, _value('x', 1, shape))
    graph += _field(12, _value('scores', 1, (shape[0], classes or count)))
    for name in more_outputs:
        graph += _field(12, _value(name, 1, (shape[0], 3)))
    path.write_bytes(
        _number(1, 8) + _field(7, graph) + _field(8, _field(1, b'') + _number(2, 13)))
    return path


def _varint(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + _varint(rest) if rest else bytes([low])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _field(field: int, content: bytes) -> bytes:
    return _varint(field << 3 | 2) + _varint(len(content)) + content


def _node(kind: str, inputs: Sequence[str], output: str, attribute: bytes = b'') -> bytes:
    names = b''.join(_field(1, name.encode()) for name in inputs)
    return names + _field(2, output.encode()) + _field(4, kind.encode()) + (
        _field(5, attribute) if attribute else b'')


def _value(name: str, onnx_type: int, shape: Sequence[Size]) -> bytes:
    sizes = b''.join(_field(1, _number(1, size) if isinstance(size, int)
                            else _field(2, size.encode())) for size in shape)
    tensor = _number(1, onnx_type) + _field(2, sizes)
    return _field(1, name.encode()) + _field(2, _field(1, tensor))


def write_tflite(path: Path, shape: Sequence[int], dtype: str = 'float32',
                 quantisation: Tuple[float, int] = (1.0, 0),
                 outputs: Sequence[Sequence[int]] = (), inputs: int = 1) -> Path:
    """
    Write a model that reshapes its first input.

    :param quantisation: scale and zero point of inputs and outputs of integers.
    :param outputs: their shapes, by default one of [1, number of values].
    """
    from ai_edge_litert import schema_py_generated as schema
    import flatbuffers

    outputs = outputs or [(1, int(np.prod(shape)))]

    def make_tensor(name: str, sizes: Sequence[int], kind: str, buffer: int = 0) -> Any:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = name, list(sizes), buffer
        tensor.type = getattr(schema.TensorType, kind.upper())
        if kind in ('uint8', 'int8'):
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [quantisation[0]]
            tensor.quantization.zeroPoint = [quantisation[1]]
        return tensor

    def make_buffer(content: bytes) -> Any:
        buffer = schema.BufferT()
        buffer.data = list(content)
        return buffer

    graph = schema.SubGraphT()
    graph.tensors = [make_tensor(f'in{index}', shape, dtype) for index in range(inputs)]
    graph.inputs = list(range(inputs))
    graph.outputs, graph.operators = [], []
    buffers = [make_buffer(b'')]
    for index, output in enumerate(outputs):
        first = len(graph.tensors)
        graph.tensors += [make_tensor(f'shape{index}', [len(output)], 'int32', len(buffers)),
                          make_tensor(f'out{index}', output, dtype)]
        buffers.append(make_buffer(np.array(output, np.int32).tobytes()))
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = 0, [0, first], [first + 1]
        graph.operators.append(operator)
        graph.outputs.append(first + 1)
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.RESHAPE
    code.version = 1
    model = schema.ModelT()
    model.version, model.description = 3, 'tiny'
    model.operatorCodes, model.subgraphs, model.buffers = [code], [graph], buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b'TFL3')
    path.write_bytes(bytes(builder.Output()))
    return path


def write_colour_tflite(
        path: Path, weights: Any, bias: Sequence[float], tail: str = '',
        shape: Sequence[int] = (1, 8, 8, 3), signature: Sequence[int] = (),
        metadata: bytes = b'', name: bytes = b'x') -> Path:
    """
    Write a model of the mean colour: weights times colour plus bias, then perhaps an operator.

    :param weights: for each class those of red, green and blue.
    :param tail: ``SOFTMAX``, ``LOGISTIC`` or nothing.
    :param signature: the shape with -1 for sides that are left open.
    :param metadata: what the file's metadata shall be.
    :param name: of the input.
    """
    from ai_edge_litert import schema_py_generated as schema
    import flatbuffers

    buffers = [schema.BufferT()]

    def make_tensor(label: bytes, sizes: Sequence[int], content: Any = None,
                    kind: int = schema.TensorType.FLOAT32) -> Any:
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type, tensor.buffer = label, list(sizes), kind, 0
        if content is not None:
            tensor.buffer = len(buffers)
            buffers.append(schema.BufferT())
            buffers[-1].data = list(content.tobytes())
        return tensor

    def make_operator(code: int, inputs: Sequence[int], output: int, kind: str) -> Any:
        operator = schema.OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = code, list(inputs), [output]
        if kind:
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            operator.builtinOptions = getattr(schema, f'{kind}T')()
            if kind == 'SoftmaxOptions':
                operator.builtinOptions.beta = 1.0
        return operator

    count = len(bias)
    graph = schema.SubGraphT()
    graph.tensors = [
        make_tensor(name, shape),
        make_tensor(b'axes', [2], np.array([1, 2], np.int32), schema.TensorType.INT32),
        make_tensor(b'mean', [shape[0], 3]),
        make_tensor(b'weights', [count, 3], np.array(weights, np.float32)),
        make_tensor(b'bias', [count], np.array(bias, np.float32)),
        make_tensor(b'sums', [shape[0], count])]
    if signature:
        graph.tensors[0].shapeSignature = list(signature)
    graph.operators = [make_operator(0, [0, 1], 2, 'ReducerOptions'),
                       make_operator(1, [2, 3, 4], 5, 'FullyConnectedOptions')]
    builtins = [schema.BuiltinOperator.MEAN, schema.BuiltinOperator.FULLY_CONNECTED]
    if tail:
        graph.tensors.append(make_tensor(b'tail', [shape[0], count]))
        builtins.append(getattr(schema.BuiltinOperator, tail))
        graph.operators.append(make_operator(
            2, [5], 6, 'SoftmaxOptions' if tail == 'SOFTMAX' else ''))
    graph.inputs, graph.outputs = [0], [len(graph.tensors) - 1]
    model = schema.ModelT()
    model.version, model.subgraphs, model.operatorCodes = 3, [graph], []
    for builtin in builtins:
        code = schema.OperatorCodeT()
        code.builtinCode = code.deprecatedBuiltinCode = builtin
        code.version = 1
        model.operatorCodes.append(code)
    if metadata:
        entry = schema.MetadataT()
        entry.name, entry.buffer = 'TFLITE_METADATA', len(buffers)
        model.metadata = [entry]
        buffers.append(schema.BufferT())
        buffers[-1].data = list(metadata)
    model.buffers = buffers
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b'TFL3')
    path.write_bytes(bytes(builder.Output()))
    return path


def make_metadata(mean: Sequence[float] = (), std: Sequence[float] = (),
                  label_file: str = '') -> bytes:
    """
    Make TensorFlow Lite metadata: a normalisation of the input, labels of the output.

    :param label_file: name in the archive behind the model.
    """
    import flatbuffers

    builder = flatbuffers.Builder(256)

    def make_table(*fields: Any) -> int:
        builder.StartObject(8)
        for slot, kind, value in fields:
            if kind == 'byte':
                builder.PrependUint8Slot(slot, value, 0)
            else:
                builder.PrependUOffsetTRelativeSlot(slot, value, 0)
        return int(builder.EndObject())

    def make_list(*tables: int) -> int:
        builder.StartVector(4, len(tables), 4)
        for table in reversed(tables):
            builder.PrependUOffsetTRelative(table)
        return int(builder.EndVector())

    def make_numbers(numbers: Sequence[float]) -> int:
        builder.StartVector(4, len(numbers), 4)
        for number in reversed(numbers):
            builder.PrependFloat32(number)
        return int(builder.EndVector())

    inputs: List[Any] = []
    if mean:
        lists = make_numbers(mean), make_numbers(std)
        options = make_table((0, 'table', lists[0]), (1, 'table', lists[1]))
        inputs = [(4, 'table', make_list(make_table((0, 'byte', 1), (1, 'table', options))))]
    outputs: List[Any] = []
    if label_file:
        label_name = builder.CreateString(label_file)
        outputs = [(6, 'table', make_list(make_table((0, 'table', label_name), (2, 'byte', 2))))]
    sides = make_list(make_table(*inputs)), make_list(make_table(*outputs))
    graph = make_table((2, 'table', sides[0]), (3, 'table', sides[1]))
    builder.Finish(make_table((3, 'table', make_list(graph))))
    return bytes(builder.Output())
