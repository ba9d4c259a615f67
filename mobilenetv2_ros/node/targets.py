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
Results as ``ai_msgs/PerceptionTargets``, which the web page of TROS shows.

TROS has no message for classes, so each becomes a target, whose type is what the page writes. The
page shows a result with the image that has exactly its stamp, writes the type of a target at the
upper left corner of its box, and nothing for a target without a box. So the first box is the whole
image, and each further one begins a line lower.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple, Optional, Sequence, Tuple

from builtin_interfaces.msg import Time
from mobilenetv2_ros.image.image_message import Header
from mobilenetv2_ros.inference.ranking import RankedClass
from mobilenetv2_ros.node.messages import make_header
from rclpy.clock import Clock
from sensor_msgs.msg import RegionOfInterest

_LINES = 12
"""In the height of an image, so that each name can be read; more classes share the last one."""

_MAX_FPS = 2 ** 15 - 1


class Stages(NamedTuple):
    """When the stages of an image began and ended, in ns of the monotonic clock."""

    began: int
    prepared: int
    inferred: int


class TargetsMaker:
    """Makes the messages; by one thread at a time."""

    def __init__(self, names: Sequence[str], model_name: str, clock: Clock) -> None:
        """
        Import the messages, which TROS has and other machines have not.

        :param names: by class index.
        :param clock: that stamps refer to.
        :raises ImportError: they are not installed.
        """
        from ai_msgs import msg

        self._msg: Any = msg
        self._names = names
        self._model_name = model_name
        self._clock = clock
        self._since = time.monotonic_ns()
        self._count = 0
        self._fps = 0

    @property
    def message_type(self) -> Any:
        """Return ``PerceptionTargets``."""
        return self._msg.PerceptionTargets

    def make(self, header: Header, classes: Sequence[RankedClass], size: Tuple[int, int],
             stages: Stages) -> Any:
        """
        Make the message of an image, when it is to be published.

        :param header: of the image, copied exactly.
        :param classes: best first.
        :param size: height and width of the image as it was published.
        """
        now = time.monotonic_ns()
        return self._msg.PerceptionTargets(
            header=make_header(header), fps=self._count_image(now),
            perfs=self._make_perfs(header, stages, now),
            targets=[self._make_target(one, place, size) for place, one in enumerate(classes)])

    def _count_image(self, now: int) -> int:
        """Return the images per second, found once a second."""
        self._count += 1
        if now - self._since >= 10 ** 9:
            self._fps = min(_MAX_FPS, round(self._count * 1e9 / (now - self._since)))
            self._since, self._count = now, 0
        return self._fps

    def _make_perfs(self, header: Header, stages: Stages, now: int) -> Sequence[Any]:
        """Take as long for the pipeline as the vendor does: from the stamp of the image on."""
        to_stamp = self._clock.now().nanoseconds - now
        began, prepared, inferred = (time + to_stamp for time in stages)
        stamp = header.sec * 10 ** 9 + header.nanosec
        return [self._msg.Perf(
            type=f'{self._model_name}_{name}', stamp_start=_make_time(start),
            stamp_end=_make_time(end), time_ms_duration=(end - start) * 1e-6)
            for name, start, end in (
                ('preprocess', began, prepared), ('predict_infer', prepared, inferred),
                ('pipeline', stamp, now + to_stamp))]

    def _make_target(self, ranked: RankedClass, place: int, size: Tuple[int, int]) -> Any:
        height, width = size
        top = min(place, _LINES - 1) * height // _LINES
        box = RegionOfInterest(y_offset=top, height=height - top, width=width)
        return self._msg.Target(
            type=f'{self._names[ranked.index]} {ranked.probability:.2f}',
            rois=[self._msg.Roi(rect=box, confidence=ranked.probability)])


def find_targets_maker(
        names: Sequence[str], model_name: str, clock: Clock) -> Optional[TargetsMaker]:
    """Make a :class:`TargetsMaker`; None where the messages are not installed."""
    try:
        return TargetsMaker(names, model_name, clock)
    except ImportError:
        return None


def _make_time(ns: int) -> Time:
    return Time(sec=ns // 10 ** 9, nanosec=ns % 10 ** 9)
