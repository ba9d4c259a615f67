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

"""Every encoding becomes the NV12 that the equations of BT.601 ask for, in the memory given."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

import cv2
from hypothesis import given, settings, strategies
from mobilenetv2_ros.image.image_message import ImageMessageError, ImageView
from mobilenetv2_ros.image.nv12 import (
    ENCODINGS, Nv12, Nv12Converter, place, Placement, Rectangle, RESIZE_MODES, to_bgr)
import numpy as np
from numpy.typing import NDArray
import pytest
from support.sample_images import (
    BAYER, COLOUR, encode, GREY, make_sample, make_view, Pixels, Planes, reference, resize, to_yuv,
    YUV)

SIDE = 224


class Bounds(NamedTuple):
    """Greatest and mean difference, in steps of 8 bits, from the equations' real numbers."""

    y_max: float
    y_mean: float
    uv_max: float
    uv_mean: float


BOUNDS: Dict[str, Bounds] = {
    # Rounding alone costs 0.5 at most and 0.25 in the mean; resizing rounds a second time, and
    # the luma of colours goes by full range grey, which rounds a third time.
    **dict.fromkeys(COLOUR, Bounds(1.5, 0.36, 1.2, 0.3)),
    **dict.fromkeys(GREY, Bounds(1.2, 0.34, 0.0, 0.0)),
    **dict.fromkeys(YUV, Bounds(1.25, 0.32, 1.25, 0.33)),
    **dict.fromkeys(BAYER, Bounds(1.6, 0.35, 1.2, 0.3))}
"""What test_equations measures, rounded up. Chroma of a grey image is exactly neutral."""

SAME_IMAGE: Dict[str, Bounds] = {
    **dict.fromkeys(COLOUR, Bounds(0, 0.0, 0, 0.0)),
    # Resized before they are rounded to 8 bits.
    **{name: Bounds(1, 0.15, 1, 0.15) for name in COLOUR if name.endswith('16')},
    # Rounding before and after resizing; chroma of 4:2:x was averaged before it was resized.
    **dict.fromkeys(YUV, Bounds(2, 0.3, 4, 0.8)),
    # A mosaic lacks two thirds of the samples.
    **dict.fromkeys(BAYER, Bounds(6, 0.6, 5, 0.7))}
"""How far a smooth image of 640x480 in other encodings is from the same one in rgb8."""


def new_target(width: int = SIDE, height: int = SIDE) -> Nv12:
    return Nv12.over(np.zeros((height * 3 // 2, width), np.uint8), height, width)


def convert(view: ImageView, mode: str = 'stretch', width: int = SIDE,
            height: int = SIDE) -> Nv12:
    target = new_target(width, height)
    Nv12Converter().convert(view, mode, target)
    return target


def differ(found: Nv12, wanted: Any) -> Bounds:
    y = np.abs(found.y.astype(float) - wanted.y)
    uv = np.abs(found.uv.astype(float) - wanted.uv)
    return Bounds(float(y.max()), float(y.mean()), float(uv.max()), float(uv.mean()))


def exceeds(found: Bounds, allowed: Bounds) -> bool:
    return any(value > limit for value, limit in zip(found, allowed))


def same(found: Nv12, wanted: Nv12) -> bool:
    return bool((found.y == wanted.y).all() and (found.uv == wanted.uv).all())


@pytest.fixture(scope='module')
def photo(photos: Path) -> Pixels:
    """Return a real photo of 600x400, RGB; a made one where the photos are not installed."""
    bgr = cv2.imread(str(photos / 'coffee.png'))
    return make_sample(600, 400) if bgr is None else np.ascontiguousarray(bgr[:, :, ::-1])


# Values


def test_each_encoding_has_bounds() -> None:
    assert set(BOUNDS) == set(ENCODINGS)
    assert set(SAME_IMAGE) == set(ENCODINGS) - set(GREY)


@pytest.mark.parametrize('case', ['as it is', 'smaller', 'larger'])
def test_equations(photo: Pixels, case: str) -> None:
    parts = {'as it is': photo[100:324, 150:374], 'smaller': photo, 'larger': photo[:101, :133]}
    rgb = np.ascontiguousarray(parts[case])
    print(f'\n{rgb.shape[1]}x{rgb.shape[0]} to {SIDE}x{SIDE}     Y max   mean   UV max   mean')
    too_far: List[str] = []
    for encoding in ENCODINGS:
        found = differ(convert(encode(rgb, encoding)), reference(rgb, encoding, SIDE, SIDE))
        print(f'{encoding:20} {found.y_max:6.2f} {found.y_mean:6.3f}   {found.uv_max:6.2f} '
              f'{found.uv_mean:6.3f}')
        if exceeds(found, BOUNDS[encoding]):
            too_far.append(f'{encoding}: {found}')
    assert not too_far


def test_same_image_in_all_encodings() -> None:
    rgb = make_sample(640, 480)
    wanted = convert(encode(rgb, 'rgb8'))
    print('\nfrom rgb8            Y max   mean   UV max   mean')
    too_far: List[str] = []
    for encoding, allowed in SAME_IMAGE.items():
        found = differ(convert(encode(rgb, encoding)), wanted)
        print(f'{encoding:18} {found.y_max:7.0f} {found.y_mean:6.3f}  {found.uv_max:7.0f} '
              f'{found.uv_mean:6.3f}')
        if exceeds(found, allowed):
            too_far.append(f'{encoding}: {found}')
    assert not too_far


def test_luma_of_a_photo_is_the_same_in_all_yuv_encodings(photo: Pixels) -> None:
    wanted = convert(encode(photo, 'bgr8'))
    for encoding in YUV:
        assert differ(convert(encode(photo, encoding)), wanted).y_max <= 2, encoding


@pytest.mark.parametrize('grey', GREY)
def test_grey_image_is_the_same_as_grey_colours(grey: str) -> None:
    level = make_sample(640, 480)[:, :, :1]
    rgb = np.repeat(level, 3, axis=2)
    assert differ(convert(encode(rgb, grey)), convert(encode(rgb, 'rgb8'))).y_max <= 1


@pytest.mark.parametrize(('rgb', 'yuv'), [
    ((0, 0, 0), (16, 128, 128)), ((255, 255, 255), (235, 128, 128)),
    ((255, 0, 0), (81, 90, 240)), ((0, 255, 0), (145, 54, 34)), ((0, 0, 255), (41, 240, 110))])
def test_pure_colours(rgb: Tuple[int, int, int], yuv: Tuple[int, int, int]) -> None:
    assert np.round(to_yuv(np.array(rgb))).tolist() == list(yuv)
    image = np.full((64, 64, 3), rgb, np.uint8)
    for encoding in (*COLOUR, *YUV):
        found = convert(encode(image, encoding))
        assert differ(found, Planes(np.array(yuv[0]), np.array(yuv[1:]))).y_max <= 1, encoding
        assert (np.abs(found.uv.astype(int) - yuv[1:]) <= 1).all(), encoding


# Shapes


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_padded_rows(encoding: str) -> None:
    rgb = make_sample(70, 50)
    for padding in (1, 6, 64):
        assert same(convert(encode(rgb, encoding, padding)), convert(encode(rgb, encoding)))


@pytest.mark.parametrize(
    'encoding', ['mono16', '16UC1', 'rgb16', 'bgr16', 'rgba16', 'bgra16', 'bayer_rggb16'])
def test_big_endian_samples(encoding: str) -> None:
    rgb = make_sample(70, 50)
    big, little = (encode(rgb, encoding, 2, is_bigendian=big) for big in (True, False))
    assert big.data.tobytes() != little.data.tobytes()
    assert same(convert(big), convert(little))


@pytest.mark.parametrize('encoding', ENCODINGS)
@pytest.mark.parametrize('size', [
    (1, 1), (2, 2), (3, 3), (2, 5), (5, 2), (33, 47), (47, 33), (1, 64), (64, 1), (223, 225),
    (48, 2000), (2000, 48), (40000, 3)])
def test_sizes(encoding: str, size: Tuple[int, int]) -> None:
    rgb = make_sample(*size)
    view = encode(rgb, encoding)
    whole = convert(view)
    if encoding not in BAYER or min(size) >= 3:
        wanted = reference(rgb, encoding, SIDE, SIDE)
        assert differ(whole, wanted).y_max <= 1.5
        assert differ(whole, wanted).uv_max <= 2
    for mode in ('crop', 'letterbox'):
        found = convert(view, mode)
        # Bilinear interpolation never leaves the range of the image's own values.
        low, high = min(125, int(whole.y.min())) - 3, max(125, int(whole.y.max())) + 3
        if min(size) > 32:
            assert low <= found.y.min() and found.y.max() <= high


@pytest.mark.parametrize('encoding', BAYER)
def test_tiny_bayer_images_show_their_samples(encoding: str) -> None:
    for size in ((1, 1), (1, 2), (2, 2)):
        samples = np.full(size, 200, np.uint8).repeat(2 if encoding.endswith('16') else 1, axis=1)
        view = make_view(samples, size[1], size[0], encoding)
        found = convert(view)
        # 200 in all samples is a grey of luma 16 + 200 * 219 / 255.
        assert differ(found, Planes(np.full((SIDE, SIDE), 187.8), np.array(128.0))).y_max < 1


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'uyvy', 'yuv422', 'yuyv', 'yuv422_yuy2'])
def test_odd_size_without_room_for_the_last_chroma_sample(encoding: str) -> None:
    rgb = np.full((5, 7, 3), (200, 60, 30), np.uint8)
    full = encode(rgb, encoding)
    planar = encoding.startswith('nv')
    used = 7 if planar else 14
    rows = full.data.reshape(-1, full.step)[:7 if planar else 5, :used]
    tight = make_view(np.ascontiguousarray(rows), 7, 5, encoding)
    assert tight.data.size < full.data.size
    assert same(convert(tight), convert(full))


@pytest.mark.parametrize('encoding', ['nv12', 'uyvy'])
def test_one_pixel_without_chroma_is_grey(encoding: str) -> None:
    bytes_of_pixel = {'nv12': [99], 'uyvy': [7, 99]}[encoding]
    found = convert(make_view(np.array([bytes_of_pixel], np.uint8), 1, 1, encoding))
    assert (found.y == 99).all() and (found.uv == 128).all()


def test_target_of_another_shape() -> None:
    rgb = make_sample(300, 200)
    wanted = reference(rgb, 'rgb8', 320, 96)
    assert not exceeds(differ(convert(encode(rgb, 'rgb8'), 'stretch', 320, 96), wanted),
                       BOUNDS['rgb8'])


# Modes


def test_letterbox_keeps_proportions() -> None:
    rgb = make_sample(448, 224)
    found = convert(encode(rgb, 'rgb8'), 'letterbox')
    inside = reference(rgb, 'rgb8', 224, 112)
    assert not exceeds(differ(Nv12(found.y[56:168], found.uv[28:84]), inside), BOUNDS['rgb8'])
    for border in (found.y[:56], found.y[168:]):
        assert (border == 125).all()
    for border in (found.uv[:28], found.uv[84:]):
        assert (border == 128).all()


def test_letterbox_border_follows_the_size_of_the_image() -> None:
    converter, target = Nv12Converter(), new_target()
    views = [encode(make_sample(*size, seed), encoding) for seed, (size, encoding) in enumerate(
        [((448, 224), 'rgb8'), ((448, 224), 'nv12'), ((64, 64), 'mono8'), ((100, 300), 'uyvy'),
         ((448, 224), 'bayer_rggb8'), ((3, 1000), 'bgra8'), ((448, 224), 'rgb8')])]
    for view in views:
        converter.convert(view, 'letterbox', target)
        assert same(target, convert(view, 'letterbox'))


def test_letterbox_border_comes_back_after_another_mode_and_target() -> None:
    converter, targets = Nv12Converter(), (new_target(), new_target())
    view = encode(make_sample(448, 224), 'rgb8')
    for mode, target in (('letterbox', 0), ('stretch', 0), ('letterbox', 0), ('letterbox', 1),
                         ('crop', 1), ('letterbox', 0), ('letterbox', 1)):
        converter.convert(view, mode, targets[target])
        assert same(targets[target], convert(view, mode))


@pytest.mark.parametrize('size', [(640, 480), (480, 640), (256, 256), (1920, 1080), (100, 90)])
def test_crop_is_resize_to_256_and_centre_of_224(size: Tuple[int, int]) -> None:
    rgb = make_sample(*size)
    scale = 256 / min(size)
    width, height = (round(side * scale) for side in size)
    left, top = round((width - 224) / 2), round((height - 224) / 2)
    yuv = to_yuv(resize(rgb, width, height)[top:top + 224, left:left + 224])
    wanted = Planes(yuv[:, :, 0], yuv[::2, ::2, 1:])
    found = differ(convert(encode(rgb, 'rgb8'), 'crop'), wanted)
    # Rounding to whole pixels moves the image by less than one; noise and slopes show that.
    assert found.y_max < 13 and found.y_mean < 2.5
    assert differ(convert(encode(rgb, 'rgb8')), wanted).y_mean > 3 * found.y_mean


def test_place() -> None:
    assert place(640, 480, 224, 224, 'stretch') == Placement(
        Rectangle(0, 0, 640, 480), Rectangle(0, 0, 224, 224))
    assert place(640, 480, 224, 224, 'crop') == Placement(
        Rectangle(110, 30, 420, 420), Rectangle(0, 0, 224, 224))
    assert place(640, 480, 224, 224, 'letterbox') == Placement(
        Rectangle(0, 0, 640, 480), Rectangle(0, 28, 224, 168))


@given(width=strategies.integers(1, 100000), height=strategies.integers(1, 100000),
       half_width=strategies.integers(1, 400), half_height=strategies.integers(1, 400),
       mode=strategies.sampled_from(RESIZE_MODES))
def test_place_stays_inside(width: int, height: int, half_width: int, half_height: int,
                            mode: str) -> None:
    source, target = place(width, height, 2 * half_width, 2 * half_height, mode)
    assert 0 <= source.x and 0 < source.width and source.x + source.width <= width
    assert 0 <= source.y and 0 < source.height and source.y + source.height <= height
    assert 0 <= target.x and 0 < target.width and target.x + target.width <= 2 * half_width
    assert 0 <= target.y and 0 < target.height and target.y + target.height <= 2 * half_height
    assert not any(value % 2 for value in target)


# Memory


class GuardedTarget:
    """Planes in memory of their own, with padded rows, between bytes that nobody may touch."""

    GUARD = 0xA5

    def __init__(self, width: int, height: int, padding: int) -> None:
        self._memories = [
            np.full((rows + 2, width + padding), self.GUARD, np.uint8)
            for rows in (height, height // 2)]
        y, uv = (memory[1:-1, :width] for memory in self._memories)
        chroma = np.ndarray((height // 2, width // 2, 2), np.uint8, self._memories[1],
                            width + padding, (width + padding, 2, 1))
        assert np.shares_memory(chroma, uv)
        self.nv12 = Nv12(y, chroma)

    def guards(self) -> Iterator[NDArray[Any]]:
        for memory in self._memories:
            yield memory[0]
            yield memory[-1]
            yield memory[1:-1, self.nv12.y.shape[1]:]


@pytest.mark.parametrize('mode', RESIZE_MODES)
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_writes_into_the_given_memory_and_nowhere_else(encoding: str, mode: str) -> None:
    for size in ((224, 224), (100, 75), (75, 100), (1, 1)):
        guarded = GuardedTarget(SIDE, SIDE, padding=32)
        view = encode(make_sample(*size), encoding)
        before = view.data.copy()
        Nv12Converter().convert(view, mode, guarded.nv12)
        assert all((guard == GuardedTarget.GUARD).all() for guard in guarded.guards())
        assert same(guarded.nv12, convert(view, mode))
        assert (view.data == before).all()


@settings(deadline=None, max_examples=300)
@given(encoding=strategies.sampled_from(sorted(ENCODINGS)),
       mode=strategies.sampled_from(RESIZE_MODES),
       width=strategies.integers(1, 40), height=strategies.integers(1, 40),
       half_width=strategies.integers(2, 20), half_height=strategies.integers(2, 20),
       padding=strategies.integers(0, 9))
def test_any_size_fits_any_target(encoding: str, mode: str, width: int, height: int,
                                  half_width: int, half_height: int, padding: int) -> None:
    guarded = GuardedTarget(2 * half_width, 2 * half_height, padding)
    Nv12Converter().convert(
        encode(make_sample(width, height), encoding, padding), mode, guarded.nv12)
    assert all((guard == GuardedTarget.GUARD).all() for guard in guarded.guards())


def test_one_converter_for_changing_images() -> None:
    converter, target = Nv12Converter(), new_target()
    for size in ((64, 48), (48, 64), (64, 48)):
        for encoding in ENCODINGS:
            view = encode(make_sample(*size), encoding)
            converter.convert(view, 'stretch', target)
            assert same(target, convert(view))


# Bad messages


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_short_step_is_refused(encoding: str) -> None:
    view = encode(make_sample(64, 48), encoding)
    with pytest.raises(ImageMessageError) as caught:
        convert(view._replace(step=view.step - 1))
    for number in ('64x48', encoding, str(view.step), str(view.step - 1)):
        assert number in str(caught.value)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_short_data_is_refused(encoding: str) -> None:
    view = encode(make_sample(64, 48), encoding)
    with pytest.raises(ImageMessageError) as caught:
        convert(view._replace(data=view.data[:-1]))
    for number in ('64x48', encoding, str(view.data.size), str(view.data.size - 1)):
        assert number in str(caught.value)


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24'])
def test_missing_chroma_plane_is_refused(encoding: str) -> None:
    view = encode(make_sample(64, 48), encoding)
    with pytest.raises(ImageMessageError):
        convert(view._replace(data=view.data[:64 * 48]))


def test_last_row_needs_no_padding() -> None:
    rgb = make_sample(64, 48)
    for encoding in ENCODINGS:
        view = encode(rgb, encoding, padding=10)
        padding = 5 if encoding in ('i420', 'yuv420', 'yv12') else 10
        tight = view._replace(data=view.data[:-padding])
        assert same(convert(tight), convert(encode(rgb, encoding)))


# Back to BGR


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_to_bgr(encoding: str) -> None:
    rgb = make_sample(320, 240)
    if encoding in GREY:
        rgb = np.repeat(rgb[:, :, :1], 3, axis=2)
    found = to_bgr(encode(rgb, encoding))
    assert found.dtype == np.uint8 and found.shape == (240, 320, 3)
    difference = np.abs(found[:, :, ::-1].astype(float) - rgb)
    assert difference.mean() < 4
    wrong_order = np.abs(found.astype(float) - rgb)
    assert encoding in GREY or wrong_order.mean() > 30


@pytest.mark.parametrize('size', [(1, 1), (7, 5), (1, 6), (6, 1)])
def test_to_bgr_of_odd_sizes(size: Tuple[int, int]) -> None:
    rgb = np.full((size[1], size[0], 3), (200, 60, 30), np.uint8)
    for encoding in ENCODINGS:
        found = to_bgr(encode(rgb, encoding))
        assert found.shape == rgb.shape
        if encoding in COLOUR + YUV:
            assert np.abs(found[:, :, ::-1].astype(int) - rgb).max() <= 4, encoding


def test_to_bgr_refuses_short_rows() -> None:
    with pytest.raises(ImageMessageError):
        to_bgr(encode(make_sample(64, 48), 'rgb8')._replace(step=191))
