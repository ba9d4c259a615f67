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
JPEG and PNG images to pixels, decoded to no more than the model needs.

Size and structure are read before anything is decoded, by :mod:`.jpeg` and :mod:`.png`, so that a
small message cannot ask for a huge image or for much time. libjpeg decodes at a half, a quarter or
an eighth for a fraction of the time.
"""

from __future__ import annotations

import re
import sys
from typing import Any, Callable, List, Optional, Tuple

import cv2
from mobilenetv2_ros.image.alpha import put_on_white
from mobilenetv2_ros.image.image_message import (
    CompressedView, ImageMessageError, ImageView, shorten)
from mobilenetv2_ros.image.jpeg import JPEG_START, mark_end, read_jpeg
from mobilenetv2_ros.image.nv12 import place
from mobilenetv2_ros.image.png import PNG_START, prepare_png
from mobilenetv2_ros.image.sample_depth import take_8_bits
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

_REDUCTIONS = (
    (8, cv2.IMREAD_REDUCED_COLOR_8), (4, cv2.IMREAD_REDUCED_COLOR_4),
    (2, cv2.IMREAD_REDUCED_COLOR_2))

_AS_IT_IS = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR

_MOSAIC = re.compile(r'(bayer_(?:rggb|bggr|gbrg|grbg))(?:8|16); *(?:jpeg|png) compressed *')


def decode_compressed(view: CompressedView, target_height: int, target_width: int, mode: str,
                      max_pixels: int) -> ImageView:
    """
    Decode an image as far as it is needed to fill a model's input.

    :param target_height: of the model's input in pixels, like ``target_width``.
    :param mode: one of :data:`mobilenetv2_ros.image.nv12.RESIZE_MODES`.
    :param max_pixels: a larger image is refused before it is decoded.
    :returns: bgr8, or mono16, bgr16 or Bayer where the file has that; a JPEG image of twice the
        needed size or more comes reduced, if it is no mosaic.
    :raises ImageMessageError: the data is neither JPEG nor PNG, damaged, cut off or too large.
    """
    full_size: Optional[Tuple[int, int]] = None

    def count_spare_pixels(width: int, height: int) -> float:
        nonlocal full_size
        full_size = height, width
        source, target = place(width, height, target_width, target_height, mode)
        return min(source.width / target.width, source.height / target.height)

    mosaic = _find_mosaic(view.format)
    pixels = _decode_pixels(view.data, max_pixels, count_spare_pixels, mosaic != '')
    if pixels is None:
        raise ImageMessageError(
            f"a compressed image of format '{shorten(view.format)}' starts with "
            f'0x{view.data[:8].tobytes().hex()}; expected JPEG or PNG')
    height, width = pixels.shape[:2]
    order = 'bgr' if pixels.ndim == 3 else mosaic or 'mono'
    return ImageView(
        view.header, height, width, f'{order}{8 * pixels.itemsize}', sys.byteorder == 'big',
        pixels.nbytes // height, pixels.reshape(-1).view(np.uint8), full_size=full_size)


def _find_mosaic(image_format: str) -> str:
    """
    Tell whether a grey file is the mosaic of a Bayer camera.

    :param image_format: as compressed_image_transport writes it, ``bayer_rggb8; png compressed ``;
        what it has converted it names at the end, as in ``bayer_rggb8; jpeg compressed mono8``.
    :returns: the encoding without its bits, as ``bayer_rggb``, else empty.
    """
    match = _MOSAIC.fullmatch(image_format)
    return match[1] if match else ''


def decode_file(data: Pixels, max_pixels: int,
                count_spare_pixels: Callable[[int, int], float] = lambda width, height: 1,
                ) -> Optional[Pixels]:
    """
    Decode a JPEG or PNG file; what is transparent becomes white.

    :param data: uint8, flat.
    :param max_pixels: a larger image is refused before it is decoded.
    :param count_spare_pixels: tells, of width and height, how many pixels there are along a side
        for each that is needed.
    :returns: uint8, shape (height, width, 3), BGR; None if the file is neither.
    :raises ImageMessageError: the file is damaged, cut off or too large.
    """
    pixels = _decode_pixels(data, max_pixels, count_spare_pixels)
    if pixels is None or pixels.dtype == np.uint8:
        return pixels
    return take_8_bits(pixels)


def _decode_pixels(data: Pixels, max_pixels: int,
                   count_spare_pixels: Callable[[int, int], float],
                   is_mosaic: bool = False) -> Optional[NDArray[Any]]:
    """
    Decode as :func:`decode_file`, samples of 16 bits as they are.

    :param is_mosaic: a grey file stays grey and of its size.
    :returns: uint8, BGR; of 16 bits uint16, grey or BGR; of a mosaic of either type and grey.
    """
    start = data[:8].tobytes()
    if start == PNG_START:
        png = prepare_png(data.data, max_pixels)
        if png.has_alpha:
            image = _decode([png.data], cv2.IMREAD_UNCHANGED)
            if image.shape[2:] == (4,):  # not so if its colour key is damaged
                return put_on_white(image)
        flag = _AS_IT_IS if png.is_deep or is_mosaic else cv2.IMREAD_COLOR
        return np.asarray(_decode([png.data], flag))
    if start.startswith(JPEG_START):
        jpeg = read_jpeg(data.data, max_pixels)
        spare = count_spare_pixels(jpeg.width, jpeg.height)
        flag = _AS_IT_IS if is_mosaic else next(
            (flag for factor, flag in _REDUCTIONS if factor <= spare), cv2.IMREAD_COLOR)
        files = [data] if jpeg.has_end else mark_end(data.data)
        return np.asarray(_decode(files, flag), np.uint8)
    return None


def _decode(files: List[Pixels], flag: int) -> Any:
    """Decode a file, or several that have to be the same image."""
    try:
        images: List[Any] = [cv2.imdecode(data, flag) for data in files]
    except cv2.error as error:
        raise ImageMessageError(
            f'a compressed image cannot be decoded: {error.err or error}') from None
    if any(image is None for image in images):
        raise ImageMessageError('a compressed image cannot be decoded')
    if not all(np.array_equal(image, images[0]) for image in images[1:]):
        raise ImageMessageError('a JPEG image is cut off: its data ends before its last pixels')
    return images[0]
