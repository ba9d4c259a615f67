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

"""What the node says about its own health."""

from __future__ import annotations

import time
from typing import Any, Dict, List, Optional, Tuple

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mobilenetv2_ros.image.image_message import Header, ImageView
from mobilenetv2_ros.inference.backends.base import BackendError
from mobilenetv2_ros.inference.ranking import ScoreRangeError
from mobilenetv2_ros.node.diagnostics import (
    Activity, ActivityRecorder, judge, make_diagnostics, NO_COUNTERS, Report, tabulate,
    VerdictLog)
from mobilenetv2_ros.node.silence import Silence
from mobilenetv2_ros.pipeline.pipeline import Counters, HeldUp
from mobilenetv2_ros.pipeline.recovery import Outage
import numpy as np
import pytest
from support.engines import TINY_ENGINE
from support.fixture_types import TinyModel
from support.node_process import NodeStarter, RELIABLE
from support.ros_peer import make_image, Peer, stamp_of

OK, WARN, ERROR, STALE = (
    DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE)
TOPIC = '/image_raw'
SILENCE = Silence(3, False, 'no image yet', [])


# The verdict


def make_activity(**changes: Any) -> Activity:
    """Make one second of a camera with 30 Hz, with changes to its counters and to itself."""
    counters = Counters(30, 0, 0, 30, 0, time.monotonic())
    counters = counters._replace(**{
        name: changes.pop(name) for name in list(changes) if name in Counters._fields})
    values: Dict[str, Any] = {
        'seconds': 1.0, 'recent': counters, 'total': counters, 'latencies': [0.01],
        'last_image': None, 'lost': 0, 'total_lost': 0, 'engine_failures': 0,
        'last_failure': '', 'pending_failure': ''}
    return Activity(**{**values, **changes})


@pytest.mark.parametrize('changes, level, words', [
    ({}, OK, 'classifying 30.0 images/s'),
    ({'seconds': 2.0}, OK, 'classifying 15.0 images/s'),
    ({'dropped': 2, 'published': 28}, OK, 'classifying 28.0 images/s'),
    ({'received': 0, 'published': 0}, OK, 'classifying 0.0 images/s'),
    ({'dropped': 10, 'published': 20}, WARN, '10 of 30 images dropped for newer ones'),
    ({'skipped': 25, 'published': 5}, OK, 'classifying 5.0 images/s, 25 skipped by max_rate'),
    ({'lost': 3}, OK, 'classifying 30.0 images/s'),
    ({'lost': 4}, WARN, '4 images lost on the way here, 30 received'),
    ({'failed': 2, 'published': 28, 'last_failure': 'torn'}, WARN,
     '2 image(s) not classified: torn'),
    ({'failed': 30, 'published': 0, 'last_failure': 'torn'}, ERROR,
     '30 image(s) not classified: torn'),
    ({'failed': 1, 'published': 29, 'engine_failures': 1, 'last_failure': 'hung'}, WARN,
     '1 inference(s) failed, 29 did not: hung'),
    ({'failed': 30, 'published': 0, 'engine_failures': 30, 'last_failure': 'hung'}, ERROR,
     '30 inference(s) failed, 0 did not: hung'),
    ({'last_arrival': None, 'received': 0}, STALE, 'no image yet')])
def test_verdict(changes: Dict[str, Any], level: bytes, words: str) -> None:
    found, reason = judge(make_activity(**changes), TOPIC, SILENCE)
    assert found == level, reason
    assert words in reason


@pytest.mark.parametrize('age, level', [(1.5, OK), (2.7, WARN)])
def test_a_silent_camera(age: float, level: bytes) -> None:
    activity = make_activity(received=0, published=0, last_arrival=time.monotonic() - age)
    found, reason = judge(activity, TOPIC, SILENCE)
    assert found == level
    if level == WARN:
        assert "no image on '/image_raw' for 3 s; it has 3 publisher(s)" in reason


@pytest.mark.parametrize('is_prepared, words', [
    (True, 'the engine has worked on one image for 3 s'),
    (False, 'a worker has been decoding one image for 3 s')])
@pytest.mark.parametrize('age, level', [(1.5, OK), (2.7, WARN)])
def test_what_holds_the_camera_up(
        age: float, level: bytes, is_prepared: bool, words: str) -> None:
    began = time.monotonic() - age
    activity = make_activity(
        received=0, published=0, last_arrival=began, held_up=HeldUp(began, is_prepared))
    found, reason = judge(activity, TOPIC, SILENCE)
    assert found == level
    if level == WARN:
        assert reason == words


def test_an_engine_that_fails_matters_more_than_silence() -> None:
    activity = make_activity(
        received=0, published=0, last_arrival=time.monotonic() - 9, engine_failures=1,
        last_failure='hung')
    assert judge(activity, TOPIC, SILENCE)[0] == ERROR


@pytest.mark.parametrize('outage, level, words', [
    (Outage(-20, 'hung', 3, 4.2), ERROR,
     'the engine is down for 20 s and will be reopened in 4 s, 3 reopening(s) so far: hung'),
    (Outage(-20, 'hung', 3), ERROR, 'is being reopened, 3 reopening(s) so far'),
    (Outage(-20, 'hung', 3, is_open=True), WARN,
     'the engine was reopened (3 reopening(s)), no image has been classified since; it had')])
def test_an_engine_that_is_down_matters_most(
        monkeypatch: pytest.MonkeyPatch, outage: Outage, level: bytes, words: str) -> None:
    monkeypatch.setattr(time, 'monotonic', lambda: 0.0)
    found, reason = judge(make_activity(dropped=30, published=0), TOPIC, SILENCE, outage)
    assert found == level and words in reason


def test_values() -> None:
    values = tabulate(make_activity(
        seconds=2.0, dropped=4, failed=3, published=23, waiting=1,
        latencies=[0.01] * 99 + [0.5]))
    assert values['input rate (Hz)'] == '15.0'
    assert values['output rate (Hz)'] == '11.5'
    assert [values[name] for name in ('received', 'published', 'dropped', 'failed')] == [
        '30', '23', '4', '3']
    assert values['waiting in queue'] == '1'
    assert values['latency p50 (ms)'] == '10.00'
    assert float(values['latency p99 (ms)']) > 10
    assert values['last failure'] == 'none since last report'


@pytest.mark.parametrize('lost, shown', [(None, 'unknown'), (0, '0'), (3, '3')])
def test_what_is_not_counted_is_not_said_to_be_0(lost: Optional[int], shown: str) -> None:
    activity = ActivityRecorder().take(NO_COUNTERS, [], lost)
    assert activity.lost == (lost or 0)
    assert tabulate(activity)['lost in transport'] == shown


def test_before_the_first_image_there_is_nothing_to_measure() -> None:
    values = tabulate(make_activity(received=0, published=0, last_arrival=None, latencies=[]))
    assert not {'latency p50 (ms)', 'last image age (s)', 'last image size'} & set(values)


def test_each_report_starts_anew() -> None:
    recorder = ActivityRecorder()
    recorder.record_image(ImageView(
        Header(1, 2, 'camera'), 48, 64, 'mono8', False, 64, np.zeros(64 * 48, np.uint8)))
    recorder.record_failure(BackendError('hung'))
    recorder.record_failure(ScoreRangeError('NaN'))
    recorder.record_failure(ValueError('torn'))
    first = recorder.take(NO_COUNTERS._replace(received=5, failed=3, published=2), [], 4)
    assert (first.recent.received, first.recent.failed, first.total.received) == (5, 3, 5)
    assert (first.engine_failures, first.last_failure) == (2, 'torn')
    assert (first.lost, first.total_lost) == (4, 4)
    assert first.last_image == ('mono8', 64, 48)
    second = recorder.take(NO_COUNTERS._replace(received=7, failed=3, published=4), [], 5)
    assert (second.recent.received, second.recent.failed, second.total.received) == (2, 0, 7)
    assert (second.engine_failures, second.last_failure) == (0, '')
    assert (second.lost, second.total_lost) == (1, 5)
    assert second.last_image == first.last_image


def test_a_failure_counts_until_an_image_is_classified() -> None:
    """Images that are tried may come less often than reports."""
    recorder = ActivityRecorder()
    counters = NO_COUNTERS._replace(received=1, failed=1, last_arrival=time.monotonic())
    recorder.record_failure(ValueError('torn'))

    def judge_next(**changes: Any) -> Tuple[bytes, str]:
        nonlocal counters
        counters = counters._replace(**changes)
        return judge(recorder.take(counters, [], None), TOPIC, SILENCE)

    assert judge_next() == (ERROR, '1 image(s) not classified: torn')
    for received in (1, 2):
        assert judge_next(received=received) == (
            ERROR, 'no image was classified since the last one failed: torn')
    assert judge_next(published=1)[0] == OK
    assert judge_next()[0] == OK


def test_trouble_that_lasts_is_told_once_and_so_is_its_end() -> None:
    lines: List[str] = []
    log = VerdictLog(lines.append, lambda line: lines.append(f'({line})'))
    for level in (OK, WARN, ERROR, WARN, STALE, OK):
        log.add(level, 'dropped')
    assert not lines
    for number in range(9):
        log.add(WARN, f'silent for {number} s')
    assert lines == ['silent for 4 s']
    for _ in range(3):
        log.add(OK, 'classifying')
    assert lines[1:] == ['(all is well again: classifying)']
    for number in range(9):
        log.add(STALE, f'nothing for {number} s')
    assert lines[2:] == ['nothing for 4 s']
    for level in (WARN, STALE, WARN):
        log.add(level, 'suspicious')
    assert lines[3:] == ['suspicious']


def test_another_cause_of_the_same_level_is_told() -> None:
    """A camera that was too fast all the time may stop."""
    lines: List[str] = []
    log = VerdictLog(lines.append, lines.append)
    for number in range(20):
        log.add(WARN, f'{number} of 60 images dropped for newer ones')
    for number in range(4):
        log.add(WARN, f"no image on '/image_raw' for {number} s")
    assert lines == ['4 of 60 images dropped for newer ones']
    for number in range(4, 20):
        log.add(WARN, f"no image on '/image_raw' for {number} s")
    assert lines[1:] == ["no image on '/image_raw' for 4 s"]
    for number in range(20):  # in turns
        log.add(WARN, f'{number} images lost' if number % 2 else 'no image for 3 s')
    assert len(lines) == 2


def test_status() -> None:
    report = make_diagnostics(
        Time(sec=7), '/front/mobilenetv2', Report(WARN, 'slow', {'received': '3'}))
    assert report.header.stamp.sec == 7
    status, = report.status
    assert (status.name, status.hardware_id) == (
        '/front/mobilenetv2: image classification', '/front/mobilenetv2')
    assert (status.level, status.message) == (WARN, 'slow')
    assert [(one.key, one.value) for one in status.values] == [('received', '3')]


# The node over DDS


def wait_for(peer: Peer, reports: List[DiagnosticArray], level: bytes, words: str = '',
             publish: Any = None) -> Dict[str, str]:
    """Wait for a report from now on, with an image between two looks; returns its values."""
    first = len(reports)

    def has_come() -> bool:
        if publish is not None:
            peer.publish(publish)
        return any(one.status[0].level == level and words in one.status[0].message
                   for one in reports[first:])

    peer.wait_until(has_come, str(reports[-1:]))
    status = next(one.status[0] for one in reports[first:] if one.status[0].level == level
                  and words in one.status[0].message)
    return {one.key: one.value for one in status.values}


def test_a_camera_comes_stops_and_returns(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    image = make_image(np.full((48, 64), 99, np.uint8), 'mono8')
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'thread_count': 4})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    wait_for(peer, reports, STALE, "no image yet on '/image_raw', which has 0 publisher(s)")
    peer.connect(image)
    for _ in range(2):
        values = wait_for(peer, reports, OK, 'classifying', image)
        assert values['last image encoding'] == 'mono8'
        assert values['last image size'] == '64x48'
        assert float(values['latency p50 (ms)']) <= float(values['latency p99 (ms)'])
        assert int(values['received']) >= int(values['published']) > 0
        assert values['failed'] == '0'
        assert (values['engine backend'], values['engine workers']) == (TINY_ENGINE, '4')
        assert values['engine model'] == str(tiny_model.path)
        of_engine = [name.startswith('engine ') for name in values]
        assert of_engine == sorted(of_engine, reverse=True)  # together, whoever sorts them or not
        wait_for(peer, reports, WARN, "no image on '/image_raw' for")
    peer.close_camera()
    wait_for(peer, reports, WARN, 'it has 0 publisher(s)')
    assert {one.status[0].name for one in reports} == {'/mobilenetv2: image classification'}


def test_a_missing_camera_is_told_in_the_log_too(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    line = node.wait_for_line("no image yet on '/image_raw', which has 0 publisher")
    assert '[WARN]' in line
    peer.connect()
    image = make_image(np.full((48, 64), 99, np.uint8), 'mono8')
    peer.wait_until(lambda: bool(peer.classify(image)) and bool(
        node.find('all is well again: classifying')))
    assert len(node.find('no image yet')) == 1


def test_once_a_second(start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """By the node's own stamps; a busy machine may miss one but never sends more."""
    start_node(parameters=tiny_model.parameters)
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.wait_until(lambda: len(reports) >= 5)
    seconds = [sec + nanosec * 1e-9 for sec, nanosec in map(stamp_of, reports)]
    assert seconds[4] - seconds[0] == pytest.approx(4, abs=0.5) or seconds[4] - seconds[0] > 4


def test_images_that_fail(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    good = make_image(np.zeros((8, 8, 3), np.uint8))
    bad = make_image(np.zeros((8, 8, 3), np.uint8), 'hologram')
    start_node(parameters={**RELIABLE, **tiny_model.parameters, 'thread_count': 4})
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.connect(good)
    values = wait_for(peer, reports, ERROR, "'hologram'", bad)
    assert int(values['failed']) > 0 and "'hologram'" in values['last failure']
    wait_for(peer, reports, OK, 'classifying', good)


def test_states(start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={**tiny_model.parameters, 'autostart': False})
    node.wait_for_line('autostart is false: waiting to be configured')
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    assert wait_for(peer, reports, OK, 'no model open') == {}
    peer.change_states('configure')
    assert wait_for(peer, reports, OK, 'the node is not active')['engine backend'] == TINY_ENGINE
    peer.change_states('activate')
    assert wait_for(peer, reports, STALE, 'no image yet')['received'] == '0'
    peer.change_states('deactivate', 'cleanup')
    wait_for(peer, reports, OK, 'no model open')
