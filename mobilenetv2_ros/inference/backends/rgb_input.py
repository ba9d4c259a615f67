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
NV12 to the RGB tensors that models for the CPU take.

The images go through the same NV12 as on the board, so that what is seen on a desk is what the
board sees. Values: a float model gets what :class:`Normalisation` says, by default ImageNet's, a
quantised one the pixels as they are, 0..255 in uint8 or 128 less in int8, as converters make them.
What the sidecar says comes before what the file itself says. Quantised models whose sidecar has a
normalisation get the values by the model's scale and zero point.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence

import cv2
from mobilenetv2_ros.image.nv12 import Nv12
from mobilenetv2_ros.inference.backends.base import ModelError
from mobilenetv2_ros.inference.model_description import ModelDescription, Normalisation, Triple
import numpy as np
from numpy.typing import NDArray

IMAGENET = Normalisation(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))

_OPEN_SIZE = 224
"""Taken where a model leaves height or width open."""


class Quantisation(NamedTuple):
    """real = scale * (stored - zero_point)."""

    scale: float
    zero_point: int


class TensorLayout(NamedTuple):
    """How an RGB tensor of one image lies in memory."""

    height: int
    width: int
    channels_first: bool

    @property
    def shape(self) -> Sequence[int]:
        """Tell the four sides of the tensor."""
        sides = (self.height, self.width)
        return (1, 3, *sides) if self.channels_first else (1, *sides, 3)


def find_layout(path: Path, shape: Sequence[Any]) -> TensorLayout:
    """
    Understand the shape of a model's input: one image, NHWC or NCHW, three channels.

    :param shape: four sizes; those that are left open are no integers or not positive.
    :raises ModelError: it is not the shape of one RGB image.
    """
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    # Exporters that leave all sizes open name them.
    has_channels = [size == 3 or size is None and 'channel' in str(given).lower()
                    for size, given in zip(sizes, shape)]
    if len(sizes) == 4 and sizes[0] in (1, None):
        for channels_first, (height, width) in ((False, sizes[1:3]), (True, sizes[2:])):
            if has_channels[1 if channels_first else 3]:
                return TensorLayout(height or _OPEN_SIZE, width or _OPEN_SIZE, channels_first)
    raise ModelError(
        f"model '{path}' takes an input of shape {list(shape)}; expected one RGB image, "
        '[1, height, width, 3] or [1, 3, height, width]')


class InputPlan(NamedTuple):
    """
    How images become a model's input.

    :param dtype: of the tensor: uint8, int8 or a float type.
    :param levels: shape (1, 256, 3), the value of each level of each channel; None: as it is.
    :param text: all this, for people.
    """

    layout: TensorLayout
    dtype: np.dtype[Any]
    is_bgr: bool
    levels: Optional[NDArray[Any]]
    text: str


def plan_input(layout: TensorLayout, dtype: np.dtype[Any], description: ModelDescription,
               quantisation: Optional[Quantisation] = None,
               packed: Optional[Normalisation] = None) -> InputPlan:
    """
    Decide how images become a model's input.

    :param quantisation: of the tensor, None for a float model.
    :param packed: what the model file says of its normalisation.
    """
    is_bgr = description.colour_order == 'bgr'
    normalisation, source = description.normalisation, description.source
    if normalisation is None and quantisation is None:
        normalisation, source = (packed, 'metadata') if packed else (
            _reverse(IMAGENET) if is_bgr else IMAGENET, "default: ImageNet's")
    order = f'{"BGR" if is_bgr else "RGB"} '\
            f'[{description.source if description.colour_order else "default"}]'
    form = f'{dtype.name} {"NCHW" if layout.channels_first else "NHWC"}'
    if normalisation is None:
        values = f'values {"-128 to 127" if dtype == np.int8 else "0 to 255"} [default]'
    else:
        values = f'{_to_text(normalisation)} [{source}]'
    return InputPlan(
        layout, dtype, is_bgr, _make_levels(dtype, normalisation, quantisation),
        f'{layout.width}x{layout.height} {order}, {form}, {values}')


def _reverse(normalisation: Normalisation) -> Normalisation:
    mean, std = normalisation.mean[::-1], normalisation.std[::-1]
    return Normalisation(normalisation.range, mean, std)


def _to_text(normalisation: Normalisation) -> str:
    lowest, highest = normalisation.range
    text = f'values {lowest:g} to {highest:g}'
    if normalisation != Normalisation(normalisation.range):
        text += f', mean {_join(normalisation.mean)}, std {_join(normalisation.std)}'
    return text


def _join(numbers: Triple) -> str:
    return ' '.join(f'{number:g}' for number in numbers)


class RgbInput:
    """An NV12 buffer and the tensor that is made of it."""

    def __init__(self, plan: InputPlan) -> None:
        """Allocate the buffers."""
        layout = plan.layout
        size = layout.height, layout.width
        # NV12 has even sides only.
        height, width = (side + side % 2 for side in size)
        self._buffer = np.zeros((height * 3 // 2, width), np.uint8)
        self.nv12 = Nv12.over(self._buffer, height, width)
        self._conversion = cv2.COLOR_YUV2BGR_NV12 if plan.is_bgr else cv2.COLOR_YUV2RGB_NV12
        self._levels = plan.levels
        self.tensor = np.empty(layout.shape, plan.dtype)
        self._target = self.tensor[0].transpose(1, 2, 0) if layout.channels_first else (
            self.tensor[0])
        # OpenCV writes pixels that stay as they are into the tensor itself.
        is_direct = plan.levels is None and not layout.channels_first
        self._exact = self._target if is_direct else np.empty((*size, 3), np.uint8)
        self._rgb = self._exact if (height, width) == size else (
            np.empty((height, width, 3), np.uint8))

    def fill_tensor(self) -> NDArray[Any]:
        """Convert the NV12 buffer; the tensor that is returned is the same one each time."""
        cv2.cvtColor(self._buffer, self._conversion, self._rgb)
        if self._exact is not self._rgb:
            cv2.resize(self._rgb, self._exact.shape[1::-1], self._exact,
                       interpolation=cv2.INTER_LINEAR)
        if self._levels is not None:
            np.copyto(self._target, cv2.LUT(self._exact, self._levels))
        elif self._exact is not self._target:
            np.copyto(self._target, self._exact)
        return self.tensor


def _make_levels(dtype: np.dtype[Any], normalisation: Optional[Normalisation],
                 quantisation: Optional[Quantisation]) -> Optional[NDArray[Any]]:
    """Tabulate the tensor's value of each of 256 levels, shape (1, 256, 3); None: as they are."""
    levels = np.repeat(np.arange(256, dtype=np.float64)[:, None], 3, axis=1)
    if normalisation is not None:
        lowest, highest = normalisation.range
        levels = lowest + levels / 255 * (highest - lowest)
        levels = (levels - normalisation.mean) / normalisation.std
        if quantisation is not None:
            levels = np.round(levels / quantisation.scale) + quantisation.zero_point
    elif dtype == np.uint8:
        return None
    else:
        levels -= 128
    if dtype.kind in 'iu':
        limits = np.iinfo(dtype)
        levels = levels.clip(limits.min, limits.max)
    # OpenCV knows no half floats; they are made when the tensor is written.
    table_dtype = np.float32 if dtype.kind == 'f' else dtype
    return levels.astype(table_dtype)[None]


def count_engine_threads(session_count: int) -> int:
    """Divide the cores that this process may use among sessions."""
    return max(1, len(os.sched_getaffinity(0)) // session_count)
