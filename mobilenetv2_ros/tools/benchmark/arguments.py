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

"""What the options of the benchmarks may be; what is no such thing is refused in a sentence."""

from __future__ import annotations

import argparse
from typing import List, Tuple

from mobilenetv2_ros.node.parameters import PARAMETERS
from mobilenetv2_ros.tools.model_options import parse_count
from mobilenetv2_ros.tools.sources import parse_size, SourceError

_SECONDS = (0.1, 86400.0)
_IMAGES_PER_SECOND = (0.1, 1e6)

FLOOD = 0.0
"""The rate that stands for twice as many images as the node can answer."""


def parse_thread_count(word: str) -> int:
    """Parse what the node takes as thread_count."""
    limits = next(row.limits for row in PARAMETERS if row.name == 'thread_count')
    assert limits is not None  # it is a number
    return parse_count(word, least=int(limits[0]), most=int(limits[1]))


def parse_counts(text: str) -> List[int]:
    """Parse numbers of frames in flight, separated by commas."""
    return [parse_count(word, most=32) for word in text.split(',')]


def parse_seconds(word: str) -> float:
    """Parse how long a measurement takes."""
    return _parse_number(word, *_SECONDS, 'seconds')


def parse_rate(word: str) -> float:
    """Parse images per second or the word flood."""
    if word == 'flood':
        return FLOOD
    return _parse_number(word, *_IMAGES_PER_SECOND, 'images per second, or flood')


def parse_image_size(word: str) -> Tuple[int, int]:
    """Parse width and height of images that the node takes."""
    try:
        return parse_size(word)
    except SourceError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _parse_number(word: str, least: float, most: float, what: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not least <= number <= most:  # nan is neither
        raise _refuse(word, f'{least:g} to {most:.0f} {what}')
    return number


def _refuse(word: str, expected: str) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(f"'{word}' is not usable; expected {expected}")
