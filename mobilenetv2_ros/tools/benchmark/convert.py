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
``benchmark convert``: a picture to NV12, in microseconds, against the usual helper.

The usual helper turns everything into bgr8, resizes, converts to I420 and interleaves U and V with
numpy, into new arrays each time, as the vendor's samples do. The two take turns, so that both meet
the same machine; the least of several medians is printed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from typing import Any, Callable, Dict, List, Tuple

import cv2
from mobilenetv2_ros.image_message import Header, ImageView
from mobilenetv2_ros.nv12 import Nv12, Nv12Converter
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
from mobilenetv2_ros.tools.benchmark.usual_conversion import convert_to_nv12
from mobilenetv2_ros.tools.encode import encode
import numpy as np
from numpy.typing import NDArray

_SIDE = 224
_SIZES = ((224, 224), (640, 480), (1920, 1080))
_ROUNDS = 7

_TO_BGR: Dict[str, int] = {
    'rgb8': cv2.COLOR_RGB2BGR, 'rgba8': cv2.COLOR_RGBA2BGR, 'bgra8': cv2.COLOR_BGRA2BGR,
    'mono8': cv2.COLOR_GRAY2BGR, 'nv12': cv2.COLOR_YUV2BGR_NV12, 'nv21': cv2.COLOR_YUV2BGR_NV21,
    'uyvy': cv2.COLOR_YUV2BGR_UYVY, 'yuyv': cv2.COLOR_YUV2BGR_YUYV,
    'bayer_rggb8': cv2.COLOR_BayerBG2BGR}
"""Encodings that are measured, beside bgr8, and how OpenCV turns them into it."""


def add_command(commands: Any) -> None:
    """Add the command to argparse's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'convert', help='pictures to NV12', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoding', default=['bgr8', *_TO_BGR], nargs='+',
                        choices=['bgr8', *_TO_BGR])
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Measure and print what the options ask for."""
    results = []
    for encoding, size in itertools.product(options.encoding, _SIZES):
        check_stop(options.stopping)
        results.append(_measure(encoding, size))
    if options.json:
        print(json.dumps({'results': results}))
        return
    print(f'{"encoding":<14}{"size":>11}{"us":>9}{"usual us":>10}{"ratio":>7}'
          f'{"Y differs: max":>16}{"mean":>7}{"UV: max":>9}{"mean":>7}')
    for one in results:
        print(f'{one["encoding"]:<14}{one["size"]:>11}{one["us"]:>9.1f}{one["usual_us"]:>10.1f}'
              f'{one["ratio"]:>7.2f}{one["y_max"]:>16.0f}{one["y_mean"]:>7.2f}'
              f'{one["uv_max"]:>9.0f}{one["uv_mean"]:>7.2f}')


def _measure(encoding: str, size: Tuple[int, int]) -> Dict[str, Any]:
    view = _make_picture(encoding, *size)
    converter = Nv12Converter()
    target = Nv12.over(np.zeros((_SIDE * 3 // 2, _SIDE), np.uint8), _SIDE, _SIDE)

    def ours() -> None:
        converter.convert(view, 'stretch', target)

    def usual() -> NDArray[Any]:
        return convert_to_nv12(_usual_bgr(view))

    ours()
    found = Nv12.over(usual(), _SIDE, _SIDE)
    y, uv = (np.abs(one.astype(int) - other) for one, other in zip(target, found))
    times = [(_median_time(ours), _median_time(usual)) for _ in range(_ROUNDS)]
    ours_us, usual_us = (min(column) * 1e6 for column in zip(*times))
    return {
        'encoding': encoding, 'size': f'{size[0]}x{size[1]}', 'us': ours_us, 'usual_us': usual_us,
        'ratio': float(np.median([ours / usual for ours, usual in times])),
        'y_max': int(y.max()), 'y_mean': float(y.mean()),
        'uv_max': int(uv.max()), 'uv_mean': float(uv.mean())}


def _make_picture(encoding: str, width: int, height: int) -> ImageView:
    """Make a smooth picture with some noise, as cameras do."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    noisy = smooth + generator.normal(0, 3, smooth.shape)
    picture = encode(noisy.clip(0, 255).astype(np.uint8), encoding)
    return ImageView(Header(0, 0, 'camera'), picture.height, picture.width, encoding,
                     picture.is_bigendian, picture.step, np.frombuffer(picture.data, np.uint8))


def _usual_bgr(view: ImageView) -> NDArray[Any]:
    data: NDArray[Any] = view.data.reshape(-1, view.step)
    if view.encoding == 'bgr8':
        return data.reshape(view.height, view.width, 3)
    if view.encoding in ('uyvy', 'yuyv'):
        data = data.reshape(view.height, view.width, 2)
    elif view.encoding in ('rgb8', 'rgba8', 'bgra8'):
        data = data.reshape(view.height, view.width, -1)
    return cv2.cvtColor(data, _TO_BGR[view.encoding])


def _median_time(work: Callable[[], Any]) -> float:
    times: List[float] = []
    for _ in range(60):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
