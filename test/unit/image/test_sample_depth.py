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


"""Images of 10 or 12 bits are as bright as those of 16, and dark ones stay dark."""

from __future__ import annotations

from typing import Any

from mobilenetv2_ros.image.image_message import ImageView
from mobilenetv2_ros.image.nv12 import ENCODINGS, Nv12, Nv12Converter
from mobilenetv2_ros.image.sample_depth import SampleDepth
import numpy as np
import pytest
from support.sample_images import encode, make_sample, make_view

DEEP = [name for name in ENCODINGS if name.endswith('16') or name == '16UC1']


def convert(view: ImageView) -> Any:
    memory = np.zeros((336, 224), np.uint8)
    Nv12Converter().convert(view, 'stretch', Nv12.over(memory, 224, 224))
    return memory.astype(int)


def darken(view: ImageView, bits: int) -> ImageView:
    """Keep the upper bits only, where the lower ones were."""
    order = '>u2' if view.is_bigendian else '<u2'
    samples = view.data.view(order) >> (16 - bits)
    return view._replace(data=samples.astype(order).view(np.uint8))


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('bits', [10, 12, 14, 16])
@pytest.mark.parametrize('encoding', DEEP)
def test_bits_are_found(encoding: str, bits: int, is_bigendian: bool) -> None:
    rgb = make_sample(200, 100)
    rgb[::8, ::5] = 255
    full = encode(rgb, encoding, 0, is_bigendian)
    view = SampleDepth().mark(darken(full, bits))
    assert view.sample_bits == bits
    assert bool(view.note) == (bits < 16)
    assert np.abs(convert(view) - convert(full)).max() <= 2


def flat(value: int) -> ImageView:
    return make_view(np.full((8, 8), value, '<u2').view(np.uint8), 8, 8, 'mono16', 2)


def test_a_dark_image_of_a_camera_stays_dark() -> None:
    depth = SampleDepth()
    assert [depth.mark(flat(value)).sample_bits for value in (0, 700, 3000, 700, 65000, 3)] == [
        8, 10, 12, 12, 16, 16]
    assert depth.mark(flat(3)).note == ''
    assert convert(depth.mark(flat(700)))[:224].max() <= 19


def test_the_user_knows_better() -> None:
    view = SampleDepth().mark(flat(700), 12)
    assert (view.sample_bits, view.note) == (12, '')
    assert abs(convert(view)[0, 0] - (16 + 700 / 4095 * 219)) <= 1


def test_what_is_told() -> None:
    assert SampleDepth().mark(flat(700)).note == (
        'mono16 images are taken for 10 bits, as no sample was greater; set mono16_bits if the '
        'camera has more')


@pytest.mark.parametrize('encoding', ['mono8', 'nv12', 'bgr8'])
def test_other_images_stay_as_they_are(encoding: str) -> None:
    view = encode(make_sample(8, 8), encoding)
    assert SampleDepth().mark(view) is view


def test_rows_that_are_too_short_are_left_to_the_converter() -> None:
    view = flat(700)._replace(step=3)
    assert SampleDepth().mark(view).encoding == 'mono16'
    with pytest.raises(ValueError, match='at least 16 bytes, but step is 3'):
        convert(SampleDepth().mark(view))
    SampleDepth().mark(flat(700)._replace(step=0))
