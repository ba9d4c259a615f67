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

"""``benchmark convert``: an image to NV12, in microseconds; the least of several medians."""

from __future__ import annotations

import argparse
import itertools
import json
import time
from typing import Any, Callable, List, Tuple

import cv2
from mobilenetv2_ros.image.image_message import Header, ImageView
from mobilenetv2_ros.image.nv12 import Nv12, Nv12Converter
from mobilenetv2_ros.tools.benchmark.stopping import check_stop
from mobilenetv2_ros.tools.encode import encode
import numpy as np

SIDE = 224
SIZES = ((224, 224), (640, 480), (1920, 1080))
ROUNDS = 7

_ENCODINGS = ('bgr8', 'rgb8', 'rgba8', 'bgra8', 'mono8', 'nv12', 'nv21', 'uyvy', 'yuyv',
              'bayer_rggb8')


def add_command(commands: Any) -> argparse.ArgumentParser:
    """Add the command to argparse's subparsers."""
    parser: argparse.ArgumentParser = commands.add_parser(
        'convert', help='images to NV12', description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--encoding', default=_ENCODINGS, nargs='+', choices=_ENCODINGS)
    parser.add_argument('--json', action='store_true', help='print one JSON object')
    parser.set_defaults(run=run)
    return parser


def run(options: argparse.Namespace) -> None:
    """Measure and print what the options ask for."""
    results = []
    for encoding, size in itertools.product(options.encoding, SIZES):
        check_stop(options.stopping)
        convert, _ = prepare(make_image(encoding, *size))
        seconds = min(find_median_time(convert) for _ in range(ROUNDS))
        results.append({
            'encoding': encoding, 'size': f'{size[0]}x{size[1]}', 'us': seconds * 1e6})
    if options.json:
        print(json.dumps({'results': results}))
        return
    print(f'{"encoding":<14}{"size":>11}{"us":>9}')
    for one in results:
        print(f'{one["encoding"]:<14}{one["size"]:>11}{one["us"]:>9.1f}')


def prepare(view: ImageView) -> Tuple[Callable[[], None], Nv12]:
    """Return what converts an image, and the NV12 that this writes to."""
    converter = Nv12Converter()
    target = Nv12.over(np.zeros((SIDE * 3 // 2, SIDE), np.uint8), SIDE, SIDE)

    def convert() -> None:
        converter.convert(view, 'stretch', target)

    convert()
    return convert, target


def make_image(encoding: str, width: int, height: int) -> ImageView:
    """Make a smooth image with some noise, as cameras do."""
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (12, 16, 3), np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(float)
    noisy = smooth + generator.normal(0, 3, smooth.shape)
    image = encode(noisy.clip(0, 255).astype(np.uint8), encoding)
    return ImageView(Header(0, 0, 'camera'), image.height, image.width, encoding,
                     image.is_bigendian, image.step, np.frombuffer(image.data, np.uint8))


def find_median_time(work: Callable[[], Any]) -> float:
    """Return the median of some calls, in seconds."""
    times: List[float] = []
    for _ in range(60):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return float(np.median(times))
