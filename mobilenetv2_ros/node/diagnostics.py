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

import re
import threading
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from mobilenetv2_ros.image.image_message import ImageView
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.ranking import ScoreRangeError
from mobilenetv2_ros.node.silence import Silence
from mobilenetv2_ros.pipeline.pipeline import Counters
from mobilenetv2_ros.pipeline.recovery import Outage
from mobilenetv2_ros.throttled_log import describe
from std_msgs.msg import Header

_SILENT_SECONDS = 2.0
"""A camera that is silent for so long has stopped; the slowest ones in use send once a second."""

_DROPPED_PART = 0.1
"""What may be dropped without a warning; a loaded machine misses a frame now and then."""

_LASTING_REPORTS = 5
"""So many bad reports in a row are no passing trouble."""

_NUMBERS = re.compile('[0-9.]+')
_CAUSE_LENGTH = 24
"""Characters of a verdict, without its numbers, that tell one cause from another; see judge()."""

NO_COUNTERS = Counters(0, 0, 0, 0, 0, None)


ENGINE_FAILURES = BackendError, ScoreRangeError
"""What an image fails with for which it is not to blame."""


class ImageInfo(NamedTuple):
    """What is told of the last image."""

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
    :param last_image: the last one that was classified.
    :param lost: images that the middleware dropped on the way, in that time, as far as is known.
    :param total_lost: since the node was activated; None where it is not known.
    :param engine_failures: images that the engine failed on, in that time.
    :param last_failure: in words, empty if there was none in that time.
    :param pending_failure: the last one, if nothing has been published since.
    """

    seconds: float
    recent: Counters
    total: Counters
    latencies: List[float]
    last_image: Optional[ImageInfo]
    lost: int
    total_lost: Optional[int]
    engine_failures: int
    last_failure: str
    pending_failure: str


def judge(activity: Activity, topic: str, silence: Silence,
          outage: Optional[Outage] = None) -> Tuple[bytes, str]:
    """
    Decide how an active node is doing.

    :param topic: of the images.
    :param silence: what is known of it, if nothing has come since the last report.
    :param outage: of the engine, if there is one.
    :returns: level of ``DiagnosticStatus`` and the reason.
    """
    recent, total = activity.recent, activity.total
    if outage is not None:
        level = DiagnosticStatus.WARN if outage.is_open else DiagnosticStatus.ERROR
        return level, outage.describe(time.monotonic())
    if total.last_arrival is None:
        level = DiagnosticStatus.WARN if silence.is_suspicious else DiagnosticStatus.STALE
        return level, silence.text
    if activity.engine_failures:
        level = DiagnosticStatus.WARN if recent.published else DiagnosticStatus.ERROR
        return level, (f'{activity.engine_failures} inference(s) failed, {recent.published} did '
                       f'not: {activity.last_failure}')
    now = time.monotonic()
    held_up = total.held_up
    if held_up is not None and now - held_up.since > _SILENT_SECONDS:
        doing = 'the engine has worked on' if held_up.is_prepared else 'a worker has been decoding'
        return DiagnosticStatus.WARN, f'{doing} one image for {now - held_up.since:.0f} s'
    silent = now - total.last_arrival
    if silent > _SILENT_SECONDS and not recent.received:
        return DiagnosticStatus.WARN, (
            f"no image on '{topic}' for {silent:.0f} s; it has {silence.publishers} publisher(s)")
    if recent.failed:
        level = DiagnosticStatus.WARN if recent.published else DiagnosticStatus.ERROR
        return level, f'{recent.failed} image(s) not classified: {activity.last_failure}'
    if activity.pending_failure:  # images that are tried come less often than reports
        return DiagnosticStatus.ERROR, (
            f'no image was classified since the last one failed: {activity.pending_failure}')
    if recent.dropped > _DROPPED_PART * max(1, recent.received):
        return DiagnosticStatus.WARN, (
            f'{recent.dropped} of {recent.received} images dropped for newer ones: they come '
            'faster than they are classified')
    if activity.lost > _DROPPED_PART * max(1, recent.received):
        return DiagnosticStatus.WARN, (
            f'{activity.lost} images lost on the way here, {recent.received} received: see '
            '"Large images" in docs/usage.md')
    skipped = f', {recent.skipped} skipped by max_rate' if recent.skipped else ''
    return DiagnosticStatus.OK, (
        f'classifying {recent.published / activity.seconds:.1f} images/s{skipped}')


def tabulate(activity: Activity) -> Dict[str, str]:
    """Return what is shown below the verdict, by name."""
    recent, total, seconds = activity.recent, activity.total, activity.seconds
    values = {
        'engine failures since last report': str(activity.engine_failures),
        'input rate (Hz)': f'{recent.received / seconds:.1f}',
        'output rate (Hz)': f'{recent.published / seconds:.1f}',
        'received': str(total.received), 'published': str(total.published),
        'lost in transport': (
            'unknown' if activity.total_lost is None else str(activity.total_lost)),
        'dropped': str(total.dropped), 'skipped by max_rate': str(total.skipped),
        'failed': str(total.failed),
        'waiting in queue': str(total.waiting),
        'last failure': activity.last_failure or 'none since last report'}
    if activity.latencies:
        ordered = sorted(activity.latencies)
        values.update({f'latency p{percent} (ms)': f'{_find_percentile(ordered, percent):.2f}'
                       for percent in (50, 99)})
    if total.last_arrival is not None:
        values['last image age (s)'] = f'{time.monotonic() - total.last_arrival:.1f}'
    if activity.last_image is not None:
        encoding, width, height = activity.last_image
        values.update({
            'last image encoding': encoding, 'last image size': f'{width}x{height}'})
    return values


def _find_percentile(ordered: List[float], percent: int) -> float:
    """Find the value, in ms, below which so many percent of the values, in s, are."""
    return ordered[len(ordered) * percent // 100] * 1e3


class Report(NamedTuple):
    """
    How a node is doing.

    :param level: of ``DiagnosticStatus``.
    :param message: why.
    :param values: what is shown below it, by name.
    """

    level: bytes
    message: str
    values: Dict[str, str]


NO_MODEL = Report(DiagnosticStatus.OK, 'no model open', {})


def make_diagnostics(stamp: Time, name: str, report: Report) -> DiagnosticArray:
    """
    Put a report into a message.

    :param name: of the node, with its namespace.
    """
    level, message, values = report
    status = DiagnosticStatus(
        level=level, name=f'{name}: image classification', hardware_id=name, message=message,
        values=[KeyValue(key=key, value=value) for key, value in values.items()])
    return DiagnosticArray(header=Header(stamp=stamp), status=[status])


class ActivityRecorder:
    """Collect what an active node does until it is reported; takes word from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since = time.monotonic()
        self._counters = NO_COUNTERS
        self._lost = 0
        self._engine_failures = 0
        self._last_failure = ''
        self._pending_failure = ''
        self._last_image: Optional[ImageInfo] = None

    def record_image(self, view: ImageView) -> None:
        """Remember what the last image looked like."""
        self._last_image = ImageInfo(view.encoding, view.width, view.height)

    def record_failure(self, error: Exception) -> None:
        """Remember why an image was not classified."""
        with self._lock:
            self._engine_failures += isinstance(error, ENGINE_FAILURES)
            self._last_failure = describe(error)

    def take(
            self, counters: Counters, latencies: List[float], lost: Optional[int]) -> Activity:
        """
        Return what happened since this was last called.

        :param counters: of the pipeline, now.
        :param latencies: of the results since then.
        :param lost: images that the middleware dropped, since the node was activated; None where
            that is not known.
        """
        now, known = time.monotonic(), lost or 0
        recent = counters.since(self._counters)
        with self._lock:
            if recent.published:
                self._pending_failure = ''
            elif self._last_failure:
                self._pending_failure = self._last_failure
            activity = Activity(
                max(1e-3, now - self._since), recent, counters, latencies, self._last_image,
                known - self._lost, lost, self._engine_failures, self._last_failure,
                self._pending_failure)
            self._engine_failures, self._last_failure = 0, ''
        self._since, self._counters, self._lost = now, counters, known
        return activity


class VerdictLog:
    """
    Tell of trouble that lasts, and of its end: not everybody looks at diagnostics.

    Each level is told once in a trouble; another one says more, as what has become suspicious.
    So is another cause that lasts: images that were dropped all the time may come no more.
    """

    def __init__(self, warn: Callable[[str], object], tell: Callable[[str], object]) -> None:
        """
        Start with all well.

        :param warn: takes the line of a trouble.
        :param tell: takes the line of its end.
        """
        self._warn = warn
        self._tell = tell
        self._bad_reports = 0
        self._cause = ''
        self._lasting = 0
        self._told_cause = ''
        self._told: Set[bytes] = set()

    def add(self, level: bytes, message: str) -> None:
        """Take the verdict of the next report."""
        if level != DiagnosticStatus.OK:
            self._bad_reports += 1
            cause = _NUMBERS.sub('', message)[:_CAUSE_LENGTH]
            self._lasting = self._lasting + 1 if cause == self._cause else 1
            self._cause = cause
            is_new = level not in self._told or (
                cause != self._told_cause and self._lasting >= _LASTING_REPORTS)
            if self._bad_reports >= _LASTING_REPORTS and is_new:
                self._told.add(level)
                self._told_cause = cause
                self._warn(message)
            return
        if self._told:
            self._tell(f'all is well again: {message}')
        self._bad_reports = 0
        self._told.clear()
