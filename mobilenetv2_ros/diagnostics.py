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

"""Counters to ``diagnostic_msgs``, with a verdict that a human understands."""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Tuple

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from mobilenetv2_ros.backends.base import BackendError
from mobilenetv2_ros.image_message import ImageView
from mobilenetv2_ros.pipeline import Counters
from mobilenetv2_ros.ranking import ScoreRangeError
from mobilenetv2_ros.recovery import Outage
from mobilenetv2_ros.trouble_log import describe

_SILENT_SECONDS = 2.0
"""A camera that is silent for so long has stopped; the slowest ones in use send once a second."""

_DROPPED_PART = 0.1
"""What may be dropped without a warning; a loaded machine misses a frame now and then."""

_LASTING_REPORTS = 5
"""So many bad reports in a row are no passing trouble."""

NO_COUNTERS = Counters(0, 0, 0, 0, 0, None)


ENGINE_FAILURES = BackendError, ScoreRangeError
"""What a picture fails with for which it is not to blame."""


class PictureInfo(NamedTuple):
    """What is told of the last picture."""

    encoding: str
    width: int
    height: int


class Activity(NamedTuple):
    """
    What happened since the last report.

    :param seconds: how long that was.
    :param recent: counters of that time alone.
    :param total: counters since the node was activated.
    :param latencies: from arrival to result, in seconds.
    :param last_picture: the last one that was classified.
    :param lost: pictures that the middleware dropped on the way, in that time, as far as is known.
    :param total_lost: since the node was activated; None where it is not known.
    :param engine_failures: pictures that the engine failed on, in that time.
    :param last_failure: in words, empty if there was none in that time.
    """

    seconds: float
    recent: Counters
    total: Counters
    latencies: List[float]
    last_picture: Optional[PictureInfo]
    lost: int
    total_lost: Optional[int]
    engine_failures: int
    last_failure: str


def judge(activity: Activity, topic: str, publishers: int,
          outage: Optional[Outage] = None) -> Tuple[bytes, str]:
    """
    Decide how an active node is doing.

    :param topic: of the pictures.
    :param publishers: how many there are on it.
    :param outage: of the engine, if there is one.
    :returns: level of ``DiagnosticStatus`` and the reason.
    """
    recent, total = activity.recent, activity.total
    if outage is not None:
        level = DiagnosticStatus.WARN if outage.is_open else DiagnosticStatus.ERROR
        return level, outage.describe(time.monotonic())
    if total.last_arrival is None:
        return DiagnosticStatus.STALE, (
            f"no picture yet on '{topic}', which has {publishers} publisher(s)")
    if activity.engine_failures:
        level = DiagnosticStatus.WARN if recent.published else DiagnosticStatus.ERROR
        return level, (f'{activity.engine_failures} inference(s) failed, {recent.published} did '
                       f'not: {activity.last_failure}')
    now = time.monotonic()
    if total.held_up_since is not None and now - total.held_up_since > _SILENT_SECONDS:
        return DiagnosticStatus.WARN, (
            f'the engine has worked on one picture for {now - total.held_up_since:.0f} s')
    silent = now - total.last_arrival
    if silent > _SILENT_SECONDS:
        return DiagnosticStatus.WARN, (
            f"no picture on '{topic}' for {silent:.0f} s; it has {publishers} publisher(s)")
    if recent.failed:
        level = DiagnosticStatus.WARN if recent.published else DiagnosticStatus.ERROR
        return level, f'{recent.failed} picture(s) not classified: {activity.last_failure}'
    if recent.dropped > _DROPPED_PART * max(1, recent.received):
        return DiagnosticStatus.WARN, (
            f'{recent.dropped} of {recent.received} pictures dropped for newer ones: they come '
            'faster than they are classified')
    if activity.lost > _DROPPED_PART * max(1, recent.received):
        return DiagnosticStatus.WARN, (
            f'{activity.lost} pictures lost on the way here, {recent.received} received: see '
            '"Large images" in the README')
    return DiagnosticStatus.OK, f'classifying {recent.published / activity.seconds:.1f} pictures/s'


def tabulate(activity: Activity) -> Dict[str, str]:
    """Return what is shown below the verdict, by name."""
    recent, total, seconds = activity.recent, activity.total, activity.seconds
    values = {
        'input rate (Hz)': f'{recent.received / seconds:.1f}',
        'output rate (Hz)': f'{recent.published / seconds:.1f}',
        'received': str(total.received), 'published': str(total.published),
        'lost in transport': (
            'unknown' if activity.total_lost is None else str(activity.total_lost)),
        'dropped': str(total.dropped), 'failed': str(total.failed),
        'waiting in queue': str(total.waiting),
        'engine failures since last report': str(activity.engine_failures),
        'last failure': activity.last_failure or 'none since last report'}
    if activity.latencies:
        ordered = sorted(activity.latencies)
        values.update({f'latency p{percent} (ms)': f'{_find_percentile(ordered, percent):.2f}'
                       for percent in (50, 99)})
    if total.last_arrival is not None:
        values['last picture age (s)'] = f'{time.monotonic() - total.last_arrival:.1f}'
    if activity.last_picture is not None:
        encoding, width, height = activity.last_picture
        values.update({
            'last picture encoding': encoding, 'last picture size': f'{width}x{height}'})
    return values


def _find_percentile(ordered: List[float], percent: int) -> float:
    """Find the value, in ms, below which so many percent of the values, in s, are."""
    return ordered[len(ordered) * percent // 100] * 1e3


def make_status(name: str, level: bytes, message: str, values: Dict[str, str]) -> DiagnosticStatus:
    """
    Put a verdict into a message.

    :param name: of the node, with its namespace.
    """
    return DiagnosticStatus(
        level=level, name=f'{name}: image classification', hardware_id=name, message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])


class ActivityRecorder:
    """Collect what an active node does until it is reported; takes word from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = time.monotonic()
        self._counters = NO_COUNTERS
        self._lost = 0
        self._engine_failures = 0
        self._last_failure = ''
        self._last_picture: Optional[PictureInfo] = None

    def record_picture(self, view: ImageView) -> None:
        """Remember what the last picture looked like."""
        self._last_picture = PictureInfo(view.encoding, view.width, view.height)

    def record_failure(self, error: Exception) -> None:
        """Remember why a picture was not classified."""
        with self._lock:
            self._engine_failures += isinstance(error, ENGINE_FAILURES)
            self._last_failure = describe(error)

    def take(
            self, counters: Counters, latencies: List[float], lost: Optional[int]) -> Activity:
        """
        Return what happened since this was last called.

        :param counters: of the pipeline, now.
        :param latencies: of the results since then.
        :param lost: pictures that the middleware dropped, since the node was activated; None where
            that is not known.
        """
        now, known = time.monotonic(), lost or 0
        with self._lock:
            activity = Activity(
                max(1e-3, now - self._since), counters.since(self._counters), counters, latencies,
                self._last_picture, known - self._lost, lost, self._engine_failures,
                self._last_failure)
            self._engine_failures, self._last_failure = 0, ''
        self._since, self._counters, self._lost = now, counters, known
        return activity


class VerdictLog:
    """Tell of trouble that lasts, once, and of its end: not everybody looks at diagnostics."""

    def __init__(self, warn: Callable[[str], object], tell: Callable[[str], object]) -> None:
        """
        Start with all well.

        :param warn: takes the line of a trouble.
        :param tell: takes the line of its end.
        """
        self._warn = warn
        self._tell = tell
        self._bad_reports = 0

    def add(self, level: bytes, message: str) -> None:
        """Take the verdict of the next report."""
        if level != DiagnosticStatus.OK:
            self._bad_reports += 1
            if self._bad_reports == _LASTING_REPORTS:
                self._warn(message)
            return
        if self._bad_reports >= _LASTING_REPORTS:
            self._tell(f'all is well again: {message}')
        self._bad_reports = 0
