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

The pictures go through the same NV12 as on the board, so that what is seen on a desk is what the
board sees. Values: a float model gets (rgb / 255 - mean) / std, a quantised one the pixels as they
are, 0..255 in uint8 or 128 less in int8, as converters make them. A JSON file beside the model,
``<model file>.json``, with ``{"mean": [r, g, b], "std": [r, g, b]}`` says otherwise; the default
is ImageNet's. Quantised models with such a file get the values by the model's scale and zero
point.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple, Optional, Sequence, Tuple

import cv2
from mobilenetv2_ros.backends.base import ModelError
from mobilenetv2_ros.nv12 import Nv12
import numpy as np
from numpy.typing import DTypeLike, NDArray


class Normalisation(NamedTuple):
    """Mean and standard deviation of red, green and blue, of values 0..1."""

    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]


IMAGENET = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


class Quantisation(NamedTuple):
    """real = scale * (stored - zero_point)."""

    scale: float
    zero_point: int


def read_normalisation(model_path: Path) -> Optional[Normalisation]:
    """
    Read the JSON file beside a model.

    :returns: None if there is none.
    :raises ModelError: it cannot be read or has other content.
    """
    path = Path(f'{model_path}.json')
    try:
        content = json.loads(path.read_text(encoding='utf-8'))
        mean, std = (tuple(float(value) for value in content[key]) for key in ('mean', 'std'))
        if len(mean) != 3 or len(std) != 3 or not np.isfinite(mean + std).all() or min(std) <= 0:
            raise ValueError('mean and std need three finite values each, std above 0')
        if max(mean) > 1:
            raise ValueError(f'the mean {max(mean):g} is none of values 0..1; divide by 255')
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelError(
            f"normalisation file '{path}' is unusable ({error}); "
            'expected {"mean": [r, g, b], "std": [r, g, b]} for values 0..1') from None
    return Normalisation((mean[0], mean[1], mean[2]), (std[0], std[1], std[2]))


class TensorLayout(NamedTuple):
    """How an RGB tensor of one picture lies in memory."""

    height: int
    width: int
    channels_first: bool


def find_layout(path: Path, shape: Sequence[Any]) -> TensorLayout:
    """
    Understand the shape of a model's input: one picture, NHWC or NCHW, three channels.

    :param shape: four sizes; those that are left open are no integers or not positive.
    :raises ModelError: it is not the shape of one RGB picture.
    """
    sizes = [size if isinstance(size, int) and size > 0 else None for size in shape]
    if len(sizes) == 4 and sizes[0] in (1, None):
        for channels_first, (channels, height, width) in (
                (False, (sizes[3], sizes[1], sizes[2])), (True, (sizes[1], sizes[2], sizes[3]))):
            if channels == 3:
                return TensorLayout(height or 224, width or 224, channels_first)
    raise ModelError(
        f"model '{path}' takes an input of shape {list(shape)}; expected one RGB picture, "
        '[1, height, width, 3] or [1, 3, height, width]')


class RgbInput:
    """An NV12 buffer and the tensor that is made of it."""

    def __init__(self, layout: TensorLayout, dtype: DTypeLike,
                 normalisation: Optional[Normalisation],
                 quantisation: Optional[Quantisation]) -> None:
        """
        Allocate the buffers.

        :param dtype: of the tensor: uint8, int8 or a float type.
        :param normalisation: of the file beside the model, None if there is none.
        :param quantisation: of the tensor, None for a float model.
        """
        height, width = layout.height, layout.width
        self._buffer = np.zeros((height * 3 // 2, width), np.uint8)
        self.nv12 = Nv12.over(self._buffer, height, width)
        self._rgb = np.empty((height, width, 3), np.uint8)
        self._levels = _make_levels(np.dtype(dtype), normalisation, quantisation)
        if layout.channels_first:
            self.tensor = np.empty((1, 3, height, width), dtype)
            self._target = self.tensor[0].transpose(1, 2, 0)
        else:
            self.tensor = np.empty((1, height, width, 3), dtype)
            self._target = self.tensor[0]

    def fill_tensor(self) -> NDArray[Any]:
        """Convert the NV12 buffer; the tensor that is returned is the same one each time."""
        cv2.cvtColor(self._buffer, cv2.COLOR_YUV2RGB_NV12, self._rgb)
        if self._levels is None:
            np.copyto(self._target, self._rgb)
        else:
            np.copyto(self._target, cv2.LUT(self._rgb, self._levels))
        return self.tensor


def _make_levels(dtype: np.dtype[Any], normalisation: Optional[Normalisation],
                 quantisation: Optional[Quantisation]) -> Optional[NDArray[Any]]:
    """Tabulate the tensor's value of each of 256 levels, shape (1, 256, 3); None: as they are."""
    levels = np.repeat(np.arange(256, dtype=np.float64)[:, None], 3, axis=1)
    if quantisation is None or normalisation is not None:
        mean, std = normalisation or IMAGENET
        levels = (levels / 255 - mean) / std
    elif dtype == np.uint8:
        return None
    else:
        levels -= 128
    if quantisation is not None and normalisation is not None:
        levels = np.round(levels / quantisation.scale) + quantisation.zero_point
    if dtype.kind in 'iu':
        limits = np.iinfo(dtype)
        levels = levels.clip(limits.min, limits.max)
    # OpenCV knows no half floats; they are made when the tensor is written.
    table_dtype = np.float32 if dtype.kind == 'f' else dtype
    return levels.astype(table_dtype)[None]


def count_engine_threads(session_count: int) -> int:
    """Divide the cores that this process may use among sessions."""
    return max(1, len(os.sched_getaffinity(0)) // session_count)
