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
Images to NV12, the format that the BPU takes.

NV12 is a plane of luma (Y), one byte a pixel, followed by a plane of interleaved chroma (U, V),
one pair for every 2x2 pixels; here BT.601, limited range (Y 16..235, U and V 16..240), as OpenCV
and the vendor's own helper make it. Y = 16 + 0.257 R + 0.504 G + 0.098 B, see ITU-R BT.601-7.

:data:`ENCODINGS` is the table of what comes in: one row for each encoding of
``sensor_msgs/image_encodings.hpp`` tells how its pixels become Y and UV. Images that are YUV
already are resized plane by plane, everything else is resized first and converted then, so that
the work depends on the size of the result and not on the camera's.

A camera sends images of one layout for hours. So a row does not convert an image: it makes the
function that converts the pixels of all images of a layout, after it has checked and computed
whatever does not depend on the pixels. It goes in two steps:

1. ``Maker(layout, part, target, scratch)`` runs when a layout is seen for the first time. It
   refuses layouts that contradict themselves, finds where the region of interest ``part`` lies in
   the data (as a :class:`_Window`, offsets and strides only), takes buffers from ``scratch`` and
   makes the functions of the steps inside.
2. The ``Convert`` that it returns, a closure over all that, runs with each image. It is given
   nothing but the data, puts the windows over it and calls OpenCV; it checks nothing any more.

So a ``Convert`` holds the target and the buffers, is only good for data of that layout's size, and
belongs to one thread. :class:`Nv12Converter` keeps the newest one and asks for another when
layout, mode or target change.

Planar means a plane for each of Y, U and V; semi-planar, one for Y and one for pairs of U and V.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional, Tuple

import cv2
from mobilenetv2_ros.image.cv_bridge_fallback import decode_by_cv_bridge
from mobilenetv2_ros.image.image_message import ImageMessageError, ImageView, Layout
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

RESIZE_MODES = ('stretch', 'crop', 'letterbox')
"""How an image of any shape fills the model's input; see :func:`place`."""

_CROPPED_PART = 224 / 256
"""Of the shorter side, what ``crop`` keeps: of ImageNet's usual 256 pixels the centre 224."""

_LETTERBOX_LUMA = 125
"""The grey (127, 127, 127) that the vendor's samples pad with, in limited range."""

_NEUTRAL_CHROMA = 128

_LONGEST_THIN_MOSAIC = 1 << 16
"""Pixels; the border makes a Bayer image of one column five times as large."""

_LIMITED_LUMA = 219 / 255, 16.0
"""Factor and offset from full to limited range."""


class Nv12(NamedTuple):
    """
    Writable views of the two planes of an NV12 image of even height and width, 4 or more.

    ``y``: uint8, shape (height, width). ``uv``: uint8, shape (height / 2, width / 2, 2). Rows may
    be padded and the planes may lie in different memory; within a row bytes are contiguous.
    """

    y: Pixels
    uv: Pixels

    @staticmethod
    def over(buffer: Pixels, height: int, width: int) -> Nv12:
        """
        View a contiguous NV12 image.

        :param buffer: uint8, shape (height * 3 // 2, width), contiguous.
        """
        return Nv12(buffer[:height], buffer[height:].reshape(height // 2, width // 2, 2))


class Rectangle(NamedTuple):
    """A region of interest: left, top, width and height in pixels."""

    x: int
    y: int
    width: int
    height: int


class Placement(NamedTuple):
    """Which part of the image goes to which part of the result."""

    source: Rectangle
    target: Rectangle


def place(width: int, height: int, target_width: int, target_height: int, mode: str) -> Placement:
    """
    Decide which part of an image fills which part of the model's input.

    :param width: of the image, in pixels, like ``height``.
    :param target_width: of the model's input, even, like ``target_height``.
    :param mode: ``stretch`` squeezes the whole image in; ``crop`` scales the shorter side to 256
        and takes the centre 224x224, in proportion for other input sizes; ``letterbox`` keeps the
        proportions of the whole image and leaves the rest to a grey border.
    :returns: the two rectangles; the target's sides are even.
    """
    whole = Rectangle(0, 0, width, height)
    filled = Rectangle(0, 0, target_width, target_height)
    if mode == 'crop':
        scale = min(width / target_width, height / target_height) * _CROPPED_PART
        crop_width = max(1, round(target_width * scale))
        crop_height = max(1, round(target_height * scale))
        return Placement(
            Rectangle(
                (width - crop_width) // 2, (height - crop_height) // 2, crop_width, crop_height),
            filled)
    if mode == 'letterbox':
        scale = min(target_width / width, target_height / height)
        fit_width = max(2, 2 * round(width * scale / 2))
        fit_height = max(2, 2 * round(height * scale / 2))
        # Even offsets, so that luma and chroma stay aligned.
        return Placement(whole, Rectangle(
            (target_width - fit_width) // 4 * 2, (target_height - fit_height) // 4 * 2,
            fit_width, fit_height))
    return Placement(whole, filled)


class _Scratch:
    """Buffers of one worker, kept from frame to frame as long as their shape stays the same."""

    def __init__(self) -> None:
        self._buffers: Dict[str, Pixels] = {}

    def get(self, name: str, shape: Tuple[int, ...]) -> Pixels:
        buffer = self._buffers.get(name)
        if buffer is None or buffer.shape != shape:
            buffer = self._buffers[name] = np.empty(shape, np.uint8)
        return buffer


class _Window(NamedTuple):
    """Where pixels lie in the data of an image; ``shape`` is (rows, columns, channels)."""

    shape: Tuple[int, int, int]
    offset: int
    strides: Tuple[int, int, int]

    def over(self, data: Pixels) -> Pixels:
        """View the pixels without copying them."""
        return np.ndarray(self.shape, np.uint8, data, self.offset, self.strides)

    def part(self, rectangle: Rectangle) -> _Window:
        """Keep what lies in a rectangle; it may reach beyond the last row and column."""
        rows, columns, channels = self.shape
        height = min(rectangle.height, rows - rectangle.y)
        width = min(rectangle.width, columns - rectangle.x)
        if height <= 0 or width <= 0:
            return self._replace(shape=(0, 0, channels))
        return self._replace(
            shape=(height, width, channels),
            offset=self.offset + rectangle.y * self.strides[0] + rectangle.x * self.strides[1])


def _rows(layout: Layout, top: int, rows: int, columns: int, channels: int,
          rows_per_step: int = 1) -> _Window:
    """
    Find rows of packed pixels.

    :param top: the rows of ``layout.step`` bytes that lie before them.
    :param rows_per_step: how many times ``layout.step`` the length of these rows is.
    :raises ImageMessageError: a row is shorter than its pixels or data ends before the last one.
    """
    step = layout.step * rows_per_step
    used = columns * channels
    if step < used:
        raise ImageMessageError(
            f'a {layout.width}x{layout.height} {layout.encoding} image needs rows of at least '
            f'{-(-used // rows_per_step)} bytes, but step is {layout.step}')
    start = top * layout.step
    needed = start + (rows - 1) * step + used
    if needed > layout.size:
        raise _too_short(layout, needed)
    return _Window((rows, columns, channels), start, (step, channels, 1))


def _too_short(layout: Layout, needed: int) -> ImageMessageError:
    return ImageMessageError(
        f'a {layout.width}x{layout.height} {layout.encoding} image of {layout.step} bytes a '
        f'row needs {needed} bytes, but data has {layout.size}')


def _shrink(rectangle: Rectangle, columns: int, rows: int) -> Rectangle:
    """Find the rectangle in a plane with one sample for ``columns`` x ``rows`` pixels."""
    x, y, width, height = rectangle
    left, top = x // columns, y // rows
    return Rectangle(
        left, top, -(-(x + width) // columns) - left, -(-(y + height) // rows) - top)


def _sample_count(pixels: int, subsampling: int, room: int) -> int:
    """
    Count the chroma samples along one side of an image.

    Cameras differ on a last pixel that is no full group: its sample is used if there is room for
    it and else, in an image of one pixel, there is none at all.
    """
    complete, cut = divmod(pixels, subsampling)
    return complete + 1 if cut and room > complete else complete


Convert = Callable[[Pixels], None]
"""Convert the data of an image, or pixels of it, into memory that is known beforehand."""

Maker = Callable[[Layout, Rectangle, Nv12, _Scratch], Convert]
"""
Make the function that writes a rectangle of such images, resized, over a whole NV12 target.

:raises ImageMessageError: images of this layout contradict themselves.
"""


def _make_resize(shape: Tuple[int, ...], target: Pixels) -> Convert:
    """
    Resize bilinearly, straight into the target's memory.

    :param shape: of the pixels.
    """
    if shape[:2] == target.shape[:2]:
        return lambda pixels: np.copyto(target, pixels.reshape(target.shape))
    if shape[:2] == (1, 1):
        # OpenCV 4.5 takes no image of one pixel.
        return lambda pixels: np.copyto(target, pixels.reshape(-1))
    size = target.shape[1], target.shape[0]

    def resize(pixels: Pixels) -> None:
        cv2.resize(pixels, size, target, interpolation=cv2.INTER_LINEAR)

    return resize


class _Words:
    """Pairs of bytes to be viewed as words; NumPy before 1.23 does so for whole arrays only."""

    def __init__(self, pairs: Pixels) -> None:
        """
        Take the pairs.

        :param pairs: uint8, shape (height, width, 2); rows may be padded.
        """
        self._pairs = pairs  # whose memory is lent
        self.__array_interface__ = {
            'version': 3, 'typestr': np.dtype(np.uint16).str, 'shape': pairs.shape[:2],
            'strides': pairs.strides[:2], 'data': pairs.__array_interface__['data']}


_RGB_TO_CHROMA = np.array((
    (-0.148224, -0.290995, 0.439219, 128),
    (0.439219, -0.367791, -0.071428, 128),
    (0, 0, 0, 0)))
"""
U and V in limited range from R, G, B and 1 (ITU-R BT.601-7, 2.5). The third row is for speed:
OpenCV has a fast way from three channels to three.
"""


class ColourOrder(NamedTuple):
    """How colours in one order become luma, by OpenCV, and chroma, by a matrix."""

    to_grey: int
    to_chroma: NDArray[np.float64]


_RGB = ColourOrder(cv2.COLOR_RGB2GRAY, _RGB_TO_CHROMA)
_BGR = ColourOrder(cv2.COLOR_BGR2GRAY, _RGB_TO_CHROMA[:, (2, 1, 0, 3)])
_RGBA = _RGB._replace(to_grey=cv2.COLOR_RGBA2GRAY)
_BGRA = _BGR._replace(to_grey=cv2.COLOR_BGRA2GRAY)


def _packed(channels: int, order: ColourOrder) -> Maker:
    """Take interleaved colour channels of 8 bits."""
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        pixels = _rows(layout, 0, layout.height, layout.width, channels).part(part)
        convert_colour = _make_colour(pixels.shape, order, target, scratch)
        return lambda data: convert_colour(pixels.over(data))

    return make


def _make_colour(shape: Tuple[int, ...], order: ColourOrder, target: Nv12,
                 scratch: _Scratch) -> Convert:
    """
    Resize colours, then convert them: luma of each pixel, chroma of the mean of each 2x2.

    OpenCV's own conversion to I420 takes a little less time but keeps the chroma of every second
    pixel only, which a camera that delivers YUV does not.
    """
    (height, width), channels = target.y.shape, shape[2]
    half = width // 2, height // 2
    small = scratch.get('colour', (height, width, channels))
    quarter = scratch.get('quarter', (half[1], half[0], channels))
    opaque = scratch.get('opaque', (half[1], half[0], 3)) if channels == 4 else quarter
    chroma = scratch.get('uv and zero', (half[1], half[0], 3))
    # A pair is copied as one word: OpenCV and numpy take longer to leave out a channel.
    uv = np.ndarray((half[1], half[0]), np.uint16, chroma, 0, chroma.strides[:2])
    target_uv = np.asarray(_Words(target.uv))
    resize = _make_resize(shape, small)

    def convert(pixels: Pixels) -> None:
        resize(pixels)
        cv2.cvtColor(small, order.to_grey, target.y)
        _limit_luma(target.y)
        cv2.resize(small, half, quarter, interpolation=cv2.INTER_AREA)
        if channels == 4:
            cv2.cvtColor(quarter, cv2.COLOR_BGRA2BGR, opaque)
        cv2.transform(opaque, order.to_chroma, chroma)
        np.copyto(target_uv, uv)

    return convert


def _limit_luma(plane: Pixels) -> None:
    """Squeeze full range values into the limited range, in place."""
    cv2.convertScaleAbs(plane, plane, *_LIMITED_LUMA)


def _bayer(to_bgr: int) -> Maker:
    """Take a Bayer mosaic of 8 bits."""
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        height, width = layout.height, layout.width
        window = _rows(layout, 0, height, width, 1)
        border = 0 if min(height, width) >= 3 else 2
        if border and max(height, width) > _LONGEST_THIN_MOSAIC:
            raise ImageMessageError(
                f'a {width}x{height} {layout.encoding} image is too thin; a Bayer image of '
                'that length needs at least 3 pixels across')
        colours = scratch.get('demosaiced', (height + 2 * border, width + 2 * border, 3))
        x, y = part.x + border, part.y + border
        shown = colours[y:y + part.height, x:x + part.width]
        convert_colour = _make_colour(shown.shape, _BGR, target, scratch)

        def convert(data: Pixels) -> None:
            mosaic = window.over(data)[:, :, 0]
            if border:
                # OpenCV leaves less than 3x3 pixels black; an even border keeps the phase.
                mosaic = np.asarray(cv2.copyMakeBorder(
                    mosaic, border, border, border, border, cv2.BORDER_REFLECT_101), np.uint8)
            cv2.cvtColor(mosaic, to_bgr, colours)
            convert_colour(shown)

        return convert

    return make


def _grey(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
    """Take one grey channel of 8 bits, full range."""
    window = _rows(layout, 0, layout.height, layout.width, 1).part(part)
    resize = _make_resize(window.shape, target.y)

    def convert(data: Pixels) -> None:
        resize(window.over(data))
        _limit_luma(target.y)
        target.uv[:] = _NEUTRAL_CHROMA

    return convert


def _deep(channels: int, take_bytes: Maker) -> Maker:
    """
    Take channels of 16 bits, of which the image may use fewer: resize, then keep 8 of them.

    :param take_bytes: takes the same pixels of 8 bits.
    """
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        height, width = target.y.shape
        view_samples, scale = _view_deep(layout, channels), _scale_deep(layout)
        memory = scratch.get('of 16 bits', (height, width, 2 * channels))
        small: Any = memory.view(np.uint16)
        shallow = scratch.get('of 8 bits', (height, width, channels))
        resize = _make_resize((part.height, part.width, channels), small)
        convert_bytes = take_bytes(
            Layout(height, width, layout.encoding, False, width * channels, shallow.size),
            Rectangle(0, 0, width, height), target, scratch)

        def convert(data: Pixels) -> None:
            resize(_part(view_samples(data), part))
            cv2.convertScaleAbs(small, shallow, scale)
            convert_bytes(shallow.reshape(-1))

        return convert

    return make


def _deep_mosaic(take_bytes: Maker) -> Maker:
    """Take a Bayer mosaic of 16 bits, of which 8 are kept before it can be resized."""
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        view_samples, scale = _view_deep(layout, 1), _scale_deep(layout)
        shallow = scratch.get('of 8 bits', (layout.height, layout.width))
        convert_bytes = take_bytes(
            layout._replace(step=layout.width, size=shallow.size), part, target, scratch)

        def convert(data: Pixels) -> None:
            cv2.convertScaleAbs(view_samples(data), shallow, scale)
            convert_bytes(shallow.reshape(-1))

        return convert

    return make


def _view_deep(layout: Layout, channels: int) -> Callable[[Pixels], Any]:
    """Make the function that views data as samples of 16 bits, if possible without a copy."""
    _rows(layout, 0, layout.height, layout.width, 2 * channels)  # refuses what is too short
    order = np.dtype('>u2' if layout.is_bigendian else '<u2')
    # OpenCV has neither the other byte order nor rows of an odd length.
    is_usable = order == np.dtype(np.uint16) and not layout.step & 1
    shape = layout.height, layout.width, channels
    strides = layout.step, 2 * channels, 2

    def view_samples(data: Pixels) -> Any:
        samples: NDArray[np.uint16] = np.ndarray(shape, order, data, 0, strides)
        return samples if is_usable else samples.astype(np.uint16)

    return view_samples


def _scale_deep(layout: Layout) -> float:
    """Find the factor from the samples in use to 8 bits."""
    return 255 / ((1 << layout.sample_bits) - 1)


def _make_channel(
        shape: Tuple[int, ...], kept: int, target: Pixels, scratch: _Scratch) -> Convert:
    """Resize pixels of several channels and keep one of these."""
    small = scratch.get('luma', (*target.shape, shape[2]))
    resize = _make_resize(shape, small)

    def convert(pixels: Pixels) -> None:
        resize(pixels)
        cv2.extractChannel(small, kept, target)

    return convert


def _semi_planar(u: int, v: int, subsampling: int) -> Maker:
    """
    Take a Y plane that is followed by a plane of chroma pairs (NV12, NV21, NV24).

    :param u: the place of U in a pair, 0 or 1; ``v`` that of V.
    :param subsampling: pixels per chroma pair, along both axes.
    """
    longer = 2 // subsampling

    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        luma = _rows(layout, 0, layout.height, layout.width, 1).part(part)
        left = layout.size - layout.step * layout.height
        rows = _sample_count(layout.height, subsampling, left // (layout.step * longer))
        columns = _sample_count(layout.width, subsampling, layout.step * longer // 2)
        chroma = _rows(layout, layout.height, rows, columns, 2, rows_per_step=longer)
        chroma = chroma.part(_shrink(part, subsampling, subsampling))
        return _make_planes(luma, _make_resize(luma.shape, target.y),
                            chroma, _make_chroma(chroma.shape, u, v, target.uv, scratch))

    return make


def _planar(u_first: bool) -> Maker:
    """
    Take a Y plane that is followed by one of U and one of V, or of V and U (I420, YV12).

    A row of chroma is half as long as one of luma, padding included; a last column or row that is
    no pair has its own sample.
    """
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        luma = _rows(layout, 0, layout.height, layout.width, 1).part(part)
        step, rows, columns = ((side + 1) // 2 for side in (
            layout.step, layout.height, layout.width))
        start = layout.step * layout.height
        needed = start + (2 * rows - 1) * step + columns
        if needed > layout.size:
            raise _too_short(layout, needed)
        first, second = (
            _Window((rows, columns, 1), start + plane * rows * step, (step, 1, 1)).part(
                _shrink(part, 2, 2)) for plane in (0, 1))
        small = [scratch.get(name, target.uv.shape[:2]) for name in 'uv']
        resize_luma = _make_resize(luma.shape, target.y)
        resize_u, resize_v = (_make_resize(first.shape, plane) for plane in small)
        u, v = (first, second) if u_first else (second, first)

        def convert(data: Pixels) -> None:
            resize_luma(luma.over(data))
            resize_u(u.over(data))
            resize_v(v.over(data))
            cv2.mixChannels(small, [target.uv], [0, 0, 1, 1])

        return convert

    return make


def _packed_422(luma: int, u: int, v: int) -> Maker:
    """
    Take YUV 4:2:2 in groups of four bytes for two pixels (UYVY, YUYV).

    The same bytes are read twice: as pixels of two channels, of which ``luma`` is Y, and as
    groups of four channels, of which ``u`` and ``v`` are the chroma.
    """
    def make(layout: Layout, part: Rectangle, target: Nv12, scratch: _Scratch) -> Convert:
        pixels = _rows(layout, 0, layout.height, layout.width, 2).part(part)
        columns = _sample_count(layout.width, 2, layout.step // 4)
        groups = _rows(layout, 0, layout.height, columns, 4)
        groups = groups.part(_shrink(part, 2, 1))
        return _make_planes(pixels, _make_channel(pixels.shape, luma, target.y, scratch),
                            groups, _make_chroma(groups.shape, u, v, target.uv, scratch))

    return make


def _make_planes(
        luma: _Window, convert_luma: Convert, chroma: _Window, convert_chroma: Convert) -> Convert:
    def convert(data: Pixels) -> None:
        convert_luma(luma.over(data))
        convert_chroma(chroma.over(data))

    return convert


def _make_chroma(shape: Tuple[int, ...], u: int, v: int, target: Pixels,
                 scratch: _Scratch) -> Convert:
    """Resize pixels whose channels ``u`` and ``v`` are chroma into the UV plane."""
    if 0 in shape:
        return lambda pixels: target.fill(_NEUTRAL_CHROMA)
    channels = shape[2]
    if (channels, u, v) == (2, 0, 1):
        return _make_resize(shape, target)
    small = scratch.get('chroma', (target.shape[0], target.shape[1], channels))
    resize = _make_resize(shape, small)

    def convert(pixels: Pixels) -> None:
        resize(pixels)
        cv2.mixChannels([small], [target], [u, 0, v, 1])

    return convert


ENCODINGS: Dict[str, Maker] = {
    'rgb8': _packed(3, _RGB),
    'bgr8': _packed(3, _BGR),
    'rgba8': _packed(4, _RGBA),
    'bgra8': _packed(4, _BGRA),
    '8UC3': _packed(3, _BGR),  # OpenCV's own order
    '8UC4': _packed(4, _BGRA),
    'rgb16': _deep(3, _packed(3, _RGB)),
    'bgr16': _deep(3, _packed(3, _BGR)),
    'rgba16': _deep(4, _packed(4, _RGBA)),
    'bgra16': _deep(4, _packed(4, _BGRA)),
    'mono8': _grey,
    '8UC1': _grey,
    'mono16': _deep(1, _grey),
    '16UC1': _deep(1, _grey),
    'nv12': _semi_planar(0, 1, 2),
    'nv21': _semi_planar(1, 0, 2),
    'nv24': _semi_planar(0, 1, 1),
    'i420': _planar(u_first=True),
    'yuv420': _planar(u_first=True),
    'yv12': _planar(u_first=False),
    'uyvy': _packed_422(1, 0, 2),
    'yuv422': _packed_422(1, 0, 2),
    'yuyv': _packed_422(0, 1, 3),
    'yuv422_yuy2': _packed_422(0, 1, 3),
    # OpenCV names a mosaic by the second row's second and third pixel, ROS by the first row.
    'bayer_rggb8': _bayer(cv2.COLOR_BayerBG2BGR),
    'bayer_bggr8': _bayer(cv2.COLOR_BayerRG2BGR),
    'bayer_gbrg8': _bayer(cv2.COLOR_BayerGR2BGR),
    'bayer_grbg8': _bayer(cv2.COLOR_BayerGB2BGR),
    'bayer_rggb16': _deep_mosaic(_bayer(cv2.COLOR_BayerBG2BGR)),
    'bayer_bggr16': _deep_mosaic(_bayer(cv2.COLOR_BayerRG2BGR)),
    'bayer_gbrg16': _deep_mosaic(_bayer(cv2.COLOR_BayerGR2BGR)),
    'bayer_grbg16': _deep_mosaic(_bayer(cv2.COLOR_BayerGB2BGR)),
}


class Nv12Converter:
    """Convert images to NV12; one per thread, since it keeps buffers between images."""

    def __init__(self) -> None:
        self._scratch = _Scratch()
        self._bordered: Optional[Tuple[Nv12, Rectangle]] = None
        self._made_for: Optional[Tuple[Layout, str]] = None
        self._target: Optional[Nv12] = None

    def convert(self, view: ImageView, mode: str, target: Nv12) -> None:
        """
        Write an image into the target's memory.

        :param view: the image, of any size and of an encoding that is a key of
            :data:`ENCODINGS` or that cv_bridge, where it is installed, can turn into bgr8.
        :param mode: one of :data:`RESIZE_MODES`.
        :param target: overwritten as a whole.
        :raises UnsupportedEncodingError: nothing here can read this encoding.
        :raises ImageMessageError: rows or data are too short for size and encoding.
        """
        if view.encoding not in ENCODINGS:
            view = decode_by_cv_bridge(view)
        wanted = view.layout, mode
        if wanted != self._made_for or target is not self._target:
            self._made_for = None  # in case that it raises
            self._convert = self._make(*wanted, target)
            self._made_for, self._target = wanted, target
        self._convert(view.data)

    def _make(self, layout: Layout, mode: str, target: Nv12) -> Convert:
        height, width = target.y.shape
        source, inner = place(layout.width, layout.height, width, height, mode)
        convert = ENCODINGS[layout.encoding](
            layout, source, _nv12_part(target, inner), self._scratch)
        self._write_border(target, inner)
        return convert

    def _write_border(self, target: Nv12, inner: Rectangle) -> None:
        """Grey the target out when its border has moved; it stays from image to image."""
        if self._bordered is not None:
            bordered, rectangle = self._bordered
            if bordered is target and rectangle == inner:
                return
        target.y[:] = _LETTERBOX_LUMA
        target.uv[:] = _NEUTRAL_CHROMA
        self._bordered = (target, inner)


def _nv12_part(image: Nv12, rectangle: Rectangle) -> Nv12:
    return Nv12(_part(image.y, rectangle), _part(image.uv, _shrink(rectangle, 2, 2)))


def _part(plane: Pixels, rectangle: Rectangle) -> Pixels:
    x, y, width, height = rectangle
    return plane[y:y + height, x:x + width]


def to_bgr(view: ImageView) -> Pixels:
    """
    Convert a whole image of any encoding to bgr8, to draw on it.

    :returns: uint8, shape (height, width, 3), a copy.
    :raises ImageMessageError: as :meth:`Nv12Converter.convert`.
    """
    height, width = view.height + view.height % 2, view.width + view.width % 2
    # OpenCV 4.5 takes no chroma of one pixel.
    enlarged = 2 if (height, width) == (2, 2) else 1
    nv12 = Nv12.over(np.empty((height * enlarged * 3 // 2, width * enlarged), np.uint8),
                     height * enlarged, width * enlarged)
    Nv12Converter().convert(view, 'stretch', nv12)
    bgr = np.asarray(cv2.cvtColorTwoPlane(nv12.y, nv12.uv, cv2.COLOR_YUV2BGR_NV12), np.uint8)
    return bgr[::enlarged, ::enlarged][:view.height, :view.width]
