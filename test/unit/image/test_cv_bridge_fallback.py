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

"""What has no converter here goes through cv_bridge, compact and in this machine's byte order."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any, List, Tuple

from mobilenetv2_ros.image.cv_bridge_fallback import decode_by_cv_bridge, UnsupportedEncodingError
from mobilenetv2_ros.image.image_message import ImageMessageError, ImageView
from mobilenetv2_ros.image.nv12 import ENCODINGS, Nv12, Nv12Converter
import numpy as np
import pytest
from support.sample_images import encode, make_sample, make_view, Pixels

DTYPES = {'16UC3': ('uint16', 3), '32FC1': ('float32', 1),
          'rgb8': ('uint8', 3), '8SC1': ('int8', 1)}


class CvBridgeError(TypeError):
    """As cv_bridge has it."""


class StandInBridge:
    """The documented interface of ``cv_bridge.CvBridge``, as far as it is used."""

    seen: List[Any] = []
    result: Any = None

    def encoding_to_dtype_with_channels(self, encoding: str) -> Tuple[str, int]:
        if encoding not in DTYPES:
            raise CvBridgeError(f'Unrecognized image encoding [{encoding}]')
        return DTYPES[encoding]

    def imgmsg_to_cv2(self, img_msg: Any, desired_encoding: str) -> Any:
        assert desired_encoding == 'bgr8'
        StandInBridge.seen.append(img_msg)
        if isinstance(StandInBridge.result, Exception):
            raise StandInBridge.result
        return StandInBridge.result


@pytest.fixture
def bridge(monkeypatch: pytest.MonkeyPatch) -> type[StandInBridge]:
    module = ModuleType('cv_bridge')
    module.CvBridge = StandInBridge  # type: ignore[attr-defined]
    module.CvBridgeError = CvBridgeError  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, 'cv_bridge', module)
    monkeypatch.setattr(StandInBridge, 'seen', [])
    monkeypatch.setattr(StandInBridge, 'result', np.zeros((1, 1, 3), np.uint8))
    return StandInBridge


def make_16uc3(padding: int, is_bigendian: bool) -> Tuple[Pixels, ImageView]:
    """Return the samples as they lie in this machine's memory, and an image of them."""
    values = np.random.default_rng(5).integers(0, 65536, (4, 15))
    rows = values.astype('>u2' if is_bigendian else '<u2').view(np.uint8).reshape(4, 30)
    return values.astype('=u2').view(np.uint8).reshape(-1), make_view(
        rows, 5, 4, '16UC3', padding, is_bigendian)


def convert(view: ImageView) -> Nv12:
    target = Nv12.over(np.zeros((336, 224), np.uint8), 224, 224)
    Nv12Converter().convert(view, 'stretch', target)
    return target


def test_without_cv_bridge_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)
    view = make_16uc3(0, False)[1]._replace(encoding='16UC3' + 'x' * 500)
    with pytest.raises(UnsupportedEncodingError) as caught:
        convert(view)
    text = str(caught.value)
    assert "'16UC3xxx" in text and 'cv_bridge' in text and 'bgr8' in text
    assert len(text) < 300 and '\n' not in text


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('padding', [0, 1, 7])
def test_rows_arrive_compact_and_native(
        bridge: type[StandInBridge], padding: int, is_bigendian: bool) -> None:
    samples, view = make_16uc3(padding, is_bigendian)
    decode_by_cv_bridge(view)
    [seen] = bridge.seen
    assert (seen.height, seen.width, seen.encoding, seen.step) == (4, 5, '16UC3', 30)
    assert bool(seen.is_bigendian) == (sys.byteorder == 'big')
    assert bytes(seen.data) == samples.tobytes()


def test_rows_behind_the_last_are_left_out(bridge: type[StandInBridge]) -> None:
    samples, view = make_16uc3(3, False)
    decode_by_cv_bridge(view._replace(data=np.concatenate([view.data, view.data])))
    assert bytes(bridge.seen[0].data) == samples.tobytes()


def test_result_becomes_the_image(bridge: type[StandInBridge]) -> None:
    rgb = make_sample(50, 40)
    bridge.result = rgb[:, :, ::-1]  # not contiguous, as OpenCV may return it
    view = make_view(np.zeros((40, 300), np.uint8), 50, 40, '16UC3')
    decoded = decode_by_cv_bridge(view)
    assert decoded._replace(data=view.data) == view._replace(encoding='bgr8', step=150)
    assert bytes(decoded.data) == np.ascontiguousarray(rgb[:, :, ::-1]).tobytes()
    found, wanted = convert(view), convert(encode(rgb, 'rgb8'))
    assert (found.y == wanted.y).all() and (found.uv == wanted.uv).all()


@pytest.mark.parametrize('encoding', ENCODINGS)
def test_own_encodings_do_without(bridge: type[StandInBridge], encoding: str) -> None:
    convert(encode(make_sample(8, 8), encoding))
    assert not bridge.seen


def test_unknown_encoding(bridge: type[StandInBridge]) -> None:
    with pytest.raises(UnsupportedEncodingError, match=r"'h265' .* 'Unrecognized .*\[h265\]"):
        convert(make_16uc3(0, False)[1]._replace(encoding='h265'))
    assert not bridge.seen


@pytest.mark.parametrize('error', [
    CvBridgeError('[32FC1] is not a color format'), RuntimeError('boost'), ValueError('shape'),
    IndexError('channels'), OverflowError('size'), KeyError(7)])
def test_refusal_of_cv_bridge(bridge: type[StandInBridge], error: Exception) -> None:
    bridge.result = error
    with pytest.raises(UnsupportedEncodingError, match="'16UC3' is not supported") as caught:
        convert(make_16uc3(0, False)[1])
    assert str(error) in str(caught.value)


def test_short_step_is_refused_before(bridge: type[StandInBridge]) -> None:
    with pytest.raises(ImageMessageError, match='at least 30 bytes, but step is 29') as caught:
        convert(make_16uc3(0, False)[1]._replace(step=29))
    assert not isinstance(caught.value, UnsupportedEncodingError)
    assert not bridge.seen


@pytest.mark.parametrize('is_bigendian', [False, True])
@pytest.mark.parametrize('encoding', ['rgb16', 'bgr16', 'rgba16', 'bgra16'])
def test_real_cv_bridge(encoding: str, is_bigendian: bool) -> None:
    pytest.importorskip('cv_bridge', reason='cv_bridge is not installed')
    rgb = make_sample(40, 30)
    order = encoding[:-2]
    rgba = np.concatenate([rgb, rgb[:, :, :1]], axis=2)
    samples = rgba[:, :, ['rgba'.index(channel) for channel in order]].astype(int) * 257
    rows = samples.astype('>u2' if is_bigendian else '<u2', 'C').view(np.uint8).reshape(30, -1)
    found = convert(decode_by_cv_bridge(
        make_view(rows, 40, 30, encoding, 3, is_bigendian)))
    wanted = convert(encode(rgb, 'rgb8'))
    assert np.abs(found.y.astype(int) - wanted.y).max() <= 1
    assert np.abs(found.uv.astype(int) - wanted.uv).max() <= 1
