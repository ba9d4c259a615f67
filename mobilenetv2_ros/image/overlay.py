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

"""Images with their classes written on them, for people to look at."""

from __future__ import annotations

from typing import Iterable, List, Sequence, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

_FONT = cv2.FONT_HERSHEY_DUPLEX
_MIN_WIDTH = 320
"""Narrower images are enlarged, or the names would be wider than they are."""

_MAX_ENLARGED = 1 << 20
"""Pixels of an enlarged image; a message of one column must not fill the memory."""

_LINE_PART = 1 / 16
"""Height of a line of text, of the image's shorter side."""

_MIN_LINE = 16.0
_LAST_LINE_PART = 0.5
"""Of a line, what stays free below the last one."""

_LINE_UNITS, _MARGIN_UNITS = 42, 20
"""Height of a line and width of a margin at font scale 1, in pixels."""

_SMOOTH_SCALE = 2.0
"""OpenCV's letters are ragged when smaller; these are drawn so and reduced."""

_SHADE = 0.3


def draw_classes(bgr: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """
    Write lines of text on an image, best first, from the upper left corner.

    :param bgr: uint8, shape (height, width, 3), left as it is.
    :param lines: ASCII; OpenCV's font has nothing else. What does not fit is counted in the last
        line that does.
    :returns: the same with text, enlarged if it was narrower than 320 pixels.
    """
    height, width = bgr.shape[:2]
    if (height, width) == (1, 1):
        bgr = np.tile(bgr, (2, 2, 1))  # OpenCV 4.5 takes no image of one pixel
    enlargement = max(1.0, min(
        _MIN_WIDTH / width, (_MAX_ENLARGED / (height * width)) ** 0.5))
    image = cv2.resize(bgr, (round(width * enlargement), round(height * enlargement)),
                       interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    if lines:
        line_height = max(_MIN_LINE, min(image.shape[:2]) * _LINE_PART)
        fitting = _cut(lines, max(1, int(image.shape[0] / line_height - _LAST_LINE_PART)))
        letters = _draw_letters(image.shape[:2], fitting, line_height)
        panel = image[:letters.shape[0], :letters.shape[1]]
        weights = letters[:panel.shape[0], :panel.shape[1], np.newaxis] / np.float32(255)
        panel[:] = panel * (_SHADE * (1 - weights)) + 255 * weights
    return image


def _cut(lines: Sequence[str], count: int) -> Sequence[str]:
    """Keep so many lines; the last one tells how many are left out."""
    if len(lines) <= count:
        return lines
    if count == 1:
        return [f'{lines[0]} and {len(lines) - 1} more']
    return [*lines[:count - 1], f'and {len(lines) - count + 1} more']


def _draw_letters(
        size: Tuple[int, ...], lines: Sequence[str], line_height: float) -> NDArray[np.uint8]:
    """
    Draw text as large as suits an image, the first line bold.

    :param size: height and width of the image, into which the text fits.
    :param line_height: in pixels; less if the text would be too large.
    :returns: uint8, shape (height, width), 255 where a letter covers a pixel.
    """
    height, width = size
    columns = 2 * _MARGIN_UNITS + max(
        cv2.getTextSize(line, _FONT, 1.0, 2)[0][0] for line in lines)
    rows = _LINE_UNITS * (len(lines) + _LAST_LINE_PART)
    scale = min(line_height / _LINE_UNITS, width / columns, height / rows)
    drawn = max(scale, _SMOOTH_SCALE)
    letters = np.zeros((round(rows * drawn), round(columns * drawn)), np.uint8)
    for number, line in enumerate(lines):
        origin = round(_MARGIN_UNITS * drawn), round(_LINE_UNITS * (number + 0.97) * drawn)
        thickness = round(drawn * (1.9 if number == 0 else 1.3))
        cv2.putText(letters, line, origin, _FONT, drawn, 255, thickness, cv2.LINE_AA)
    reduced = max(1, round(columns * scale)), max(1, round(rows * scale))
    return np.asarray(cv2.resize(letters, reduced, interpolation=cv2.INTER_AREA), np.uint8)


def describe(classes: Iterable[Tuple[str, float]]) -> List[str]:
    """
    Write ranked classes as lines of text.

    :param classes: name and probability, best first.
    :returns: a line for each, or one that says that there is none.
    """
    return [f'{name} {100 * probability:.1f} %' for name, probability in classes] or [
        'no class above score_threshold']
