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

"""Pictures with their classes written on them, for people to look at."""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, List, Optional, Sequence, Tuple

import cv2
import numpy as np
from numpy.typing import NDArray

_FONT = cv2.FONT_HERSHEY_DUPLEX
_LEAST_WIDTH = 320
"""Narrower pictures are enlarged, or the names would be wider than they are."""

_MOST_ENLARGED = 1 << 20
"""Pixels of an enlarged picture; a message of one column must not fill the memory."""

_LINE_PART = 1 / 16
"""Height of a line of text, of the picture's shorter side."""

_LEAST_LINE = 16.0
_LINE_UNITS, _MARGIN_UNITS = 42, 20
"""Height of a line and width of a margin at font scale 1, in pixels."""

_SMOOTH_SCALE = 2.0
"""OpenCV's letters are ragged when smaller; these are drawn so and reduced."""

_SHADE = 0.3
_PERIOD = 1 / 15
"""Seconds between two overlays; people see no more, and the workers need the processor."""


def draw_classes(bgr: NDArray[np.uint8], lines: Sequence[str]) -> NDArray[np.uint8]:
    """
    Write lines of text on a picture, best first, from the upper left corner.

    :param bgr: uint8, shape (height, width, 3), left as it is.
    :param lines: ASCII; OpenCV's font has nothing else.
    :returns: the same with text, enlarged if it was narrower than 320 pixels.
    """
    height, width = bgr.shape[:2]
    enlargement = max(1.0, min(
        _LEAST_WIDTH / width, (_MOST_ENLARGED / (height * width)) ** 0.5))
    picture = cv2.resize(bgr, (round(width * enlargement), round(height * enlargement)),
                         interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)
    if lines:
        letters = _draw_letters(picture.shape[:2], lines)
        panel = picture[:letters.shape[0], :letters.shape[1]]
        weights = letters[:panel.shape[0], :panel.shape[1], np.newaxis] / np.float32(255)
        panel[:] = panel * (_SHADE * (1 - weights)) + 255 * weights
    return picture


def _draw_letters(size: Tuple[int, ...], lines: Sequence[str]) -> NDArray[np.uint8]:
    """
    Draw text as large as suits a picture, the first line bold.

    :param size: height and width of the picture; the longest line fits into its width.
    :returns: uint8, shape (height, width), 255 where a letter covers a pixel.
    """
    height, width = size
    columns = 2 * _MARGIN_UNITS + max(
        cv2.getTextSize(line, _FONT, 1.0, 2)[0][0] for line in lines)
    scale = min(max(_LEAST_LINE, min(height, width) * _LINE_PART) / _LINE_UNITS, width / columns)
    drawn = max(scale, _SMOOTH_SCALE)
    rows = _LINE_UNITS * (len(lines) + 0.5)
    letters = np.zeros((round(rows * drawn), round(columns * drawn)), np.uint8)
    for number, line in enumerate(lines):
        origin = round(_MARGIN_UNITS * drawn), round(_LINE_UNITS * (number + 0.97) * drawn)
        thickness = round(drawn * (1.9 if number == 0 else 1.3))
        cv2.putText(letters, line, origin, _FONT, drawn, 255, thickness, cv2.LINE_AA)
    reduced = max(1, round(columns * scale)), max(1, round(rows * scale))
    return np.asarray(cv2.resize(letters, reduced, interpolation=cv2.INTER_AREA), np.uint8)


class OverlayThread:
    """Draw the newest picture, in a thread of low priority, while somebody looks."""

    def __init__(self, draw: Callable[[Any], None], is_wanted: Callable[[], bool],
                 report: Callable[[Exception], None]) -> None:
        """
        Start the thread.

        :param draw: takes what was offered last.
        :param is_wanted: asked with each offer.
        :param report: takes what ``draw`` raises.
        """
        self._draw = draw
        self._is_wanted = is_wanted
        self._report = report
        self._newest: Optional[Any] = None
        self._changed = threading.Condition()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name='overlay', daemon=True)
        self._thread.start()

    def offer(self, item: Any) -> None:
        """Take an item if somebody looks; returns at once."""
        if self._is_wanted():
            with self._changed:
                self._newest = item
                self._changed.notify()

    def stop(self) -> None:
        """End the thread."""
        with self._changed:
            self._stopped = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        # On Linux a nice value belongs to a thread. Relative: no thread may become less nice.
        os.nice(10)
        while (item := self._take()) is not None:
            try:
                self._draw(item)
            except Exception as error:  # noqa: B902, one bad picture must not end the thread
                self._report(error)
            del item  # a picture of many megabytes
            with self._changed:
                self._changed.wait_for(lambda: self._stopped, _PERIOD)

    def _take(self) -> Optional[Any]:
        with self._changed:
            self._changed.wait_for(lambda: self._stopped or self._newest is not None)
            item, self._newest = self._newest, None
            return None if self._stopped else item


def describe(classes: Sequence[Tuple[int, float]], names: Sequence[str]) -> List[str]:
    """
    Write ranked classes as lines of text.

    :param classes: index and probability, best first.
    :param names: by class index.
    """
    return [f'{names[index]} {100 * probability:.1f} %' for index, probability in classes]
