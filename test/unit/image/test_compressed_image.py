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

"""JPEG and PNG to pixels: reduced as far as possible, never further, and never trusted."""

from __future__ import annotations

from functools import lru_cache
import struct
from typing import Any, Iterator
import zlib

import cv2
from mobilenetv2_ros.image.alpha import decode_on_white
from mobilenetv2_ros.image.compressed_image import decode_compressed, decode_file
from mobilenetv2_ros.image.image_message import (
    CompressedView, Header, ImageMessageError, ImageView)
from mobilenetv2_ros.image.nv12 import place, RESIZE_MODES
import numpy as np
import pytest
from support import sample_images
from support.hostile_images import compress, IEND, png_chunk, PNG_START

HEADER = Header(12, 34, 'camera')


def decode(data: bytes, mode: str = 'stretch', max_pixels: int = 50_000_000,
           target: int = 224, image_format: str = 'some format') -> ImageView:
    view = CompressedView(HEADER, image_format, np.frombuffer(data, np.uint8))
    return decode_compressed(view, target, target, mode, max_pixels)


def make_jpeg(width: int, height: int) -> bytes:
    return compress(sample_images.make_sample(width, height), 'jpeg')


@lru_cache(maxsize=None)
def make_black_jpeg(width: int, height: int) -> bytes:
    return compress(np.zeros((height, width, 3), np.uint8), 'jpeg')


@pytest.mark.parametrize('mode, size', [
    # Needed: 224x224; 256x256 of the shorter side; 224x126.
    ('stretch', (480, 270)), ('crop', (480, 270)), ('letterbox', (240, 135))])
def test_a_1080p_jpeg_is_decoded_to_no_more_than_needed(mode: str, size: Any) -> None:
    view = decode(make_jpeg(1920, 1080), mode)
    assert (view.width, view.height) == size
    assert (view.step, view.data.size) == (3 * size[0], 3 * size[0] * size[1])
    assert (view.header, view.encoding, view.is_bigendian) == (HEADER, 'bgr8', False)
    assert view.full_size == (1080, 1920)


def list_sizes() -> Iterator[Any]:
    sides = (1, 2, 223, 224, 447, 449, 511, 513, 895, 897, 1793)
    yield from ((width, height) for width in sides for height in sides)


@pytest.mark.parametrize('mode', RESIZE_MODES)
def test_no_image_is_reduced_below_what_is_needed(mode: str) -> None:
    """What a model sees must not be enlarged from an image that was reduced before."""
    for width, height in list_sizes():
        view = decode(make_black_jpeg(width, height), mode)
        if (view.width, view.height) == (width, height):
            continue
        factor = width / view.width
        assert round(factor) in (2, 4, 8)
        part, filled = place(view.width, view.height, 224, 224, mode)
        assert part.width >= filled.width and part.height >= filled.height, (width, height)


@pytest.mark.parametrize('mode', RESIZE_MODES)
def test_nothing_is_left_to_gain(mode: str) -> None:
    """Reduced once more, the image would be too small."""
    for width, height in list_sizes():
        view = decode(make_black_jpeg(width, height), mode)
        factor = 2 * round(max(width / view.width, height / view.height))
        if factor > 8:
            continue
        part, filled = place(max(1, width // factor), max(1, height // factor), 224, 224, mode)
        assert part.width < filled.width or part.height < filled.height, (width, height)


@pytest.mark.parametrize('options', [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize('size', [(64, 48), (1280, 960)])
def test_jpeg_pixels(size: Any, options: Any) -> None:
    bgr = cv2.GaussianBlur(sample_images.make_sample(*size), (0, 0), 5)
    view = decode(compress(bgr, 'jpeg', *options))
    small = cv2.resize(bgr, (view.width, view.height), interpolation=cv2.INTER_AREA)
    shown = view.data.reshape(view.height, view.width, 3)
    assert np.abs(shown.astype(int) - small).mean() < 3


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_png_pixels_whatever_the_file_holds(channels: int) -> None:
    bgr = sample_images.make_sample(40, 30)
    opaque = np.full_like(bgr[:, :, 0], 255)
    stored: Any = {1: bgr[:, :, 0], 3: bgr, 4: np.dstack([bgr, opaque])}[channels]
    view = decode(compress(stored, 'png'))
    expected = np.repeat(bgr[:, :, :1], 3, axis=2) if channels == 1 else bgr
    assert (view.data.reshape(30, 40, 3) == expected).all()


@pytest.mark.parametrize('encoding', ['mono16', 'bgr16'])
def test_png_samples_of_16_bits_stay_as_they_are(encoding: str) -> None:
    """How many of the bits a camera uses is found as for raw images."""
    bgr = sample_images.make_sample(40, 30).astype(np.uint16) << 2
    stored = bgr if encoding == 'bgr16' else bgr[:, :, 0]
    view = decode(compress(stored, 'png'))
    assert (view.encoding, view.step) == (encoding, stored.nbytes // 30)
    assert (view.data.view(np.uint16).reshape(stored.shape) == stored).all()


@pytest.mark.parametrize('bits', [8, 10, 12, 14, 16])
@pytest.mark.parametrize('decode_any', [
    decode_on_white, lambda content: decode_file(content, 10000)])
def test_a_file_of_16_bits_is_as_bright_as_one_of_8(bits: int, decode_any: Any) -> None:
    bgr = sample_images.make_sample(40, 30)
    bgr[0, 0] = 255
    for pixels in (bgr, bgr[:, :, 0]):
        deep = (pixels * (((1 << bits) - 1) / 255)).astype(np.uint16)
        found = decode_any(np.frombuffer(compress(deep, 'png'), np.uint8))
        expected = pixels if pixels.ndim == 3 else np.repeat(pixels[:, :, np.newaxis], 3, axis=2)
        assert found.dtype == np.uint8 and np.abs(found.astype(int) - expected).max() <= 1


def test_a_file_of_floats_ends_nothing() -> None:
    content = np.frombuffer(compress(np.ones((9, 9), np.float32), 'tiff'), np.uint8)
    found = decode_on_white(content)
    assert found is None or found.dtype == np.uint8


MOSAICS = [f'bayer_{order}' for order in ('rggb', 'bggr', 'gbrg', 'grbg')]


@pytest.mark.parametrize('bits, kind', [(8, 'png'), (8, 'jpeg'), (16, 'png')])
@pytest.mark.parametrize('mosaic', MOSAICS)
def test_mosaics_are_told_by_the_format(mosaic: str, bits: int, kind: str) -> None:
    """compressed_image_transport leaves them as they are unless it says what it made of them."""
    dtype: Any = {8: np.uint8, 16: np.uint16}[bits]
    samples = np.random.default_rng(0).integers(0, 1 << bits, (600, 800), dtype)
    data = compress(samples, kind)
    view = decode(data, image_format=f'{mosaic}{bits}; {kind} compressed ')
    assert (view.encoding, view.height, view.width) == (f'{mosaic}{bits}', 600, 800)
    if kind == 'png':
        assert (view.data.view(dtype).reshape(600, 800) == samples).all()
    converted = decode(data, image_format=f'{mosaic}{bits}; {kind} compressed mono8')
    assert converted.encoding == ('mono16' if bits == 16 else 'bgr8')


def test_colours_stay_colours_whatever_the_format_says() -> None:
    view = decode(make_jpeg(64, 48), image_format='bayer_rggb8; jpeg compressed ')
    assert view.encoding == 'bgr8'


def test_grey_jpeg_becomes_bgr() -> None:
    view = decode(compress(np.full((20, 30), 77, np.uint8), 'jpeg'))
    assert set(view.data.tolist()) == {77}


@pytest.mark.parametrize('options', [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
@pytest.mark.parametrize('padding', [b'\0', b'\xff', b'stale'])
@pytest.mark.parametrize('count', [0, 1, 3000, 1 << 18])
def test_padding_behind_the_end_is_allowed(options: Any, padding: bytes, count: int) -> None:
    data = compress(sample_images.make_sample(64, 48), 'jpeg', *options)
    assert (decode(data + padding * count).data == decode(data).data).all()


@pytest.mark.parametrize('options', [
    (), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1), (cv2.IMWRITE_JPEG_RST_INTERVAL, 2)])
@pytest.mark.parametrize('padding', [b'', b'\0', b'\xff', bytes(10_000), b'\xff' * 10_000])
def test_an_end_mark_may_be_missing(options: Any, padding: bytes) -> None:
    """What counts is that the decoder gets all pixels."""
    for seed in range(20):
        rgb = sample_images.make_sample(64, 48, seed)
        data = compress(rgb, 'jpeg', *options)
        assert (decode(data[:-2] + padding).data == decode(data).data).all()


def test_no_image_is_shown_whose_pixels_are_missing() -> None:
    """Cut anywhere among its pixels, and padded: refused, or no different from the whole one."""
    whole, refused = decode(JPEG), 0
    for end in range(JPEG.index(b'\xff\xda') + 14, len(JPEG) - 2):
        try:
            shown = decode(JPEG[:end] + bytes(5000))
        except ImageMessageError:
            refused += 1
        else:
            assert (shown.data == whole.data).all()
    assert refused > len(JPEG) // 2


def to_bgr(view: ImageView) -> Any:
    return view.data.reshape(view.height, view.width, 3)


@pytest.mark.parametrize('bits', [8, 16])
def test_a_transparent_png_is_shown_on_white(bits: int) -> None:
    """As on paper, and not as the black that mostly lies under it."""
    bgr = sample_images.make_sample(40, 30)
    alpha = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (30, 1))
    wanted = 255 - (255.0 - bgr) * alpha[:, :, np.newaxis] / 255
    bgra: Any = np.dstack([bgr, alpha])
    found = to_bgr(decode(compress(bgra if bits == 8 else bgra.astype(np.uint16) * 257, 'png')))
    assert np.abs(found - wanted).max() <= 0.51
    assert (found[:, 0] == 255).all() and (found[:, -1] == bgr[:, -1]).all()


@pytest.mark.parametrize('colour_type, key', [
    (0, b'\0\0'), (2, b'\0\0\0\0\0\0'), (3, b'\0'), (4, b''), (6, b'')])
def test_transparent_colours_of_every_kind(colour_type: int, key: bytes) -> None:
    """A black square is transparent and black or, where OpenCV tells nothing of it, black."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour_type]
    header = struct.pack('>IIBBBBB', 8, 8, 8, colour_type, 0, 0, 0)
    palette = png_chunk(b'PLTE', bytes(6)) if colour_type == 3 else b''
    data = zlib.compress(bytes(8 * (1 + 8 * channels)))
    found = decode(b''.join([
        PNG_START, png_chunk(b'IHDR', header), palette, png_chunk(b'tRNS', key) if key else b'',
        png_chunk(b'IDAT', data), IEND]))
    assert set(found.data) == {0 if colour_type == 0 else 255}


def test_padding_before_a_marker_is_allowed() -> None:
    data = make_jpeg(64, 48)
    assert decode(data[:2] + b'\xff\xff' + data[2:]).width == 64


def patch(data: bytes, position: int, form: str, *values: int) -> bytes:
    patched = bytearray(data)
    struct.pack_into(form, patched, position, *values)
    return bytes(patched)


def frame_header(data: bytes) -> int:
    """Return where the frame header of a baseline JPEG file starts."""
    return data.index(b'\xff\xc0')


JPEG = make_jpeg(64, 48)
PNG = compress(sample_images.make_sample(64, 48), 'png')


@pytest.mark.parametrize('data, words', [
    (JPEG[:len(JPEG) // 2], 'a JPEG image is cut off: its data ends before its last pixels'),
    (JPEG[:len(JPEG) // 2] + bytes(10_000), 'its data ends before its last pixels'),
    (PNG[:len(PNG) // 2], 'a PNG image is cut off: it has no end chunk'),
    (PNG[:18] + b'IEND', 'a PNG image is cut off: it has no end chunk'),
    (b'GIF89a' + bytes(20), "of format 'some format' starts with 0x474946.*expected JPEG or PNG"),
    (b'', 'expected JPEG or PNG'),
    (b'\xff', 'expected JPEG or PNG'),
    (b'\xff\xd8\xff\xd9', 'a JPEG image ends before its pixels'),
    (b'\xff\xd8\xff\xe0\xff\xff\xff\xd9', 'a JPEG image ends before its pixels'),
    (b'\xff\xd8\xff\xe0\x00\x02rubbish\xff\xd9', 'is damaged: no marker where one is due'),
    (PNG[:33] + PNG[-12:], 'its rows have 9264 bytes, but its data ends before'),
    (patch(JPEG, frame_header(JPEG) + 5, '>HH', 65500, 65500), 'max_image_pixels'),
    (patch(PNG, 16, '>II', 2 ** 31 - 1, 2 ** 31 - 1), 'max_image_pixels'),
    (patch(PNG, 16, '>II', 2 ** 32 - 1, 1), 'max_image_pixels'),
    (patch(JPEG, frame_header(JPEG) + 5, '>HH', 0, 64), 'has no pixels'),
    (patch(PNG, 16, '>II', 0, 0), 'has no pixels')],
    ids=lambda value: 'data' if isinstance(value, bytes) else value)
def test_what_is_wrong_is_told(data: bytes, words: str) -> None:
    with pytest.raises(ImageMessageError, match=words):
        decode(data)


def test_the_largest_image_allowed() -> None:
    assert decode(JPEG, max_pixels=64 * 48).width == 64
    with pytest.raises(ImageMessageError, match='64x48 is larger than the 3071 pixels'):
        decode(JPEG, max_pixels=64 * 48 - 1)


@pytest.mark.parametrize('good', [JPEG, PNG], ids=['jpeg', 'png'])
def test_any_damage_leaves_a_image_or_one_sentence(good: bytes) -> None:
    """Bytes that flipped or are missing; nothing else may be raised and nothing may crash."""
    random = np.random.default_rng(1)
    raised = 0
    for _ in range(500):
        data = np.frombuffer(good, np.uint8).copy()
        places = random.integers(0, data.size, random.integers(1, 9))
        data[places] = random.integers(0, 256, places.size)
        data = data[:data.size - random.integers(0, 3) * random.integers(0, data.size // 2)]
        try:
            view = decode(data.tobytes(), max_pixels=1_000_000)
        except ImageMessageError:
            raised += 1
        else:
            assert view.data.size == view.step * view.height > 0
    assert raised > 50
