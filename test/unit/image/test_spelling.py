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


"""Encodings and rows as drivers write them are read as ROS writes them."""

from __future__ import annotations

from mobilenetv2_ros.image.image_message import Header, ImageMessageError, ImageView, make_view
from mobilenetv2_ros.image.nv12 import ENCODINGS, Nv12, Nv12Converter
from mobilenetv2_ros.image.spelling import find_step, read_spelling, ROS_NAMES
import numpy as np
import pytest
from support import sample_images


def view(like: ImageView, encoding: str = '', step: int = 0) -> ImageView:
    """Make a view of the fields of a message, some of which are others."""
    return make_view(Header(0, 0, ''), like.height, like.width, encoding or like.encoding, False,
                     step or like.step, like.data, 1 << 20)


def convert(image: ImageView) -> bytes:
    memory = np.zeros((336, 224), np.uint8)
    Nv12Converter().convert(image, 'stretch', Nv12.over(memory, 224, 224))
    return memory.tobytes()


def test_all_names_are_known() -> None:
    assert set(ROS_NAMES) == set(ENCODINGS)


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_right_names_stay(encoding: str) -> None:
    assert read_spelling(encoding) == (encoding, '')


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_upper_case_is_read_and_told(encoding: str) -> None:
    if encoding.isupper():
        pytest.skip('it is written so')
    found = read_spelling(encoding.upper())
    assert found.encoding == encoding
    assert found.note == (
        f"encoding '{encoding.upper()}' is read as '{encoding}', as ROS writes it")


@pytest.mark.parametrize('name, encoding', [
    ('YUY2', 'yuyv'), ('yuyv422', 'yuyv'), ('UYVY', 'uyvy'), ('BGR24', 'bgr8'), ('RGB3', 'rgb8'),
    ('GREY', 'mono8'), ('Y800', 'mono8'), ('Y16', 'mono16'), ('YU12', 'i420'), ('I420', 'i420'),
    ('8uc3', '8UC3'), ('16uc1', '16UC1')])
def test_names_of_others(name: str, encoding: str) -> None:
    sample = sample_images.encode(sample_images.make_sample(64, 48), encoding)
    read = view(sample, name)
    assert (read.encoding, bool(read.note)) == (encoding, True)
    assert convert(read) == convert(sample)


@pytest.mark.parametrize('name', [
    '', 'h265', 'jpeg', 'rgb888', 'BGR888', 'nv12 ', 'x' * 1000, '32FC1', 'H265'])
def test_unknown_names_are_refused_as_they_are(name: str) -> None:
    assert read_spelling(name) == (name, '')
    with pytest.raises(ImageMessageError, match='is not supported.* let the camera publish bgr8'):
        convert(view(sample_images.encode(sample_images.make_sample(64, 48), 'nv24'), name or ' '))


@pytest.mark.parametrize('encoding', ['nv12', 'nv21', 'nv24', 'i420', 'yuv420', 'yv12'])
@pytest.mark.parametrize('times', [1.5, 2, 3])
def test_a_step_that_counts_all_planes(encoding: str, times: float) -> None:
    sample = sample_images.encode(sample_images.make_sample(64, 48), encoding)
    read = view(sample, step=int(times * 64))
    assert read.step == 64 and convert(read) == convert(sample)


def test_a_step_that_may_be_right_stays() -> None:
    padded = sample_images.encode(sample_images.make_sample(64, 48), 'nv12', 32)
    assert view(padded).step == 96
    assert find_step('nv12', 64, 48, 96, 64 * 72 + 1) == 96
    assert find_step('bgr8', 64, 48, 256, 64 * 72) == 256
    assert find_step('nv12', 65, 48, 98, 65 * 72) == 98
