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
The node while the BPU, its library or the model file fails, over real DDS.

A camera sends noise, the emulated network computes a class from the bytes of each image: a
result that belongs to another image is recognised, and every result is checked.
"""

from __future__ import annotations

from pathlib import Path
import re
import signal
import subprocess
import time
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from emulated_libdnn import BALANCED, fingerprint_class, MISUSES, MODEL, read_report
import numpy as np
import pytest
from sensor_msgs.msg import Image
from support.node_process import (
    find_libraries_in, NodeProcess, NodeStarter, PATIENCE_SECONDS, RELIABLE, wait_until)
from support.ros_peer import make_image, Peer, stamp_of

pytestmark = pytest.mark.faults

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR
DOWN = 'the engine failed 10 times in a row and is reopened'
WELL = 'the engine works again, after'
IMAGES = 16
WORKERS = 4
"""The default on a BPU."""

INFERENCE_TIMEOUT = 1.0
"""Seconds; more than a BPU that does not hang needs on a busy machine."""

LONGEST_END = 20.0
"""
Seconds that the node may take to end, however the BPU hangs: more than a busy machine needs, less
than the minute of an ``inference_timeout`` that is waited for.
"""


def draw_images() -> List[Tuple[Image, str]]:
    """Draw noise, each with its class."""
    noise = np.random.default_rng(3).integers(0, 256, (IMAGES, 336, 224), np.uint8)
    return [(make_image(one, 'nv12', 224), str(fingerprint_class(one[:224], one[224:])))
            for one in noise]


class Scene:
    """A node on an emulated BPU, and a camera that sends while something is waited for."""

    def __init__(self, node: NodeProcess, peer: Peer, report: Path, model: Path) -> None:
        """Connect the camera."""
        self.model = model
        self.node = node
        self.peer = peer
        self.report = report
        self._images = draw_images()
        self._expected: Dict[Tuple[int, int], str] = {}
        self._sent = 0
        self._checked = 0
        self._reports: List[DiagnosticArray] = peer.collect(DiagnosticArray, '/diagnostics')
        node.wait_until_active()
        peer.connect(self._images[0][0])

    def set(self, setting: str) -> None:  # noqa: A003
        """Change a setting of the emulator, ``KEY VALUE``, and wait until it holds."""
        self.node.tell(setting)
        self.node.ask(setting.split()[0])

    def stream_until(self, reached: Callable[[], bool], what: str = '') -> None:
        """Send images until something is so; every result has to be its image's."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not reached():
            assert time.monotonic() < deadline, f'waited in vain; {what}\n{self.node.text}'
            assert self.node.is_running, self.node.text
            self.send()
            self.peer.spin_for(0.005, 0.005)
            self.check_results()

    def send(self) -> None:
        image, best = self._images[self._sent % IMAGES]
        self._sent += 1
        self._expected[self.peer.stamp(image)] = best
        self.peer.publish(image)

    def check_results(self) -> None:
        results = self.peer.results
        for result in results[self._checked:]:
            assert result.results[0].class_id == self._expected[stamp_of(result)]
        self._checked = len(results)

    def stream_until_answered(self, count: int = 10) -> None:
        """Send images until so many sent from now on are answered."""
        first = len(self._expected)
        now = set(list(self._expected)[:first])
        before = len(self.peer.results)
        self.stream_until(lambda: sum(
            stamp_of(one) not in now for one in self.peer.results[before:]) >= count)

    def count_reports(self) -> int:
        """Count what has come on /diagnostics."""
        return len(self._reports)

    def stream_until_told(self, level: bytes, pattern: str,
                          first: Optional[int] = None) -> Dict[str, str]:
        """
        Send images until a report has this level and a message of this kind; return its values.

        :param level: one, or the sum of several.
        :param pattern: a regular expression that is somewhere in the message.
        :param first: how many reports are too old, by default all that have come.
        """
        first = self.count_reports() if first is None else first

        def find() -> List[DiagnosticStatus]:
            return [one.status[0] for one in self._reports[first:]
                    if one.status[0].level in level
                    and re.search(pattern, one.status[0].message)]

        self.stream_until(lambda: bool(find()), f'{pattern} in {self._reports[-1:]}')
        return {one.key: one.value for one in find()[0].values}

    def stories(self) -> Tuple[int, int]:
        """Count the lines that begin a story and those that end one."""
        return len(self.node.find(DOWN)), len(self.node.find(WELL))

    def stream_until_down(self) -> None:
        down, well = self.stories()
        self.stream_until(lambda: self.stories() == (down + 1, well))

    def bring_down(self) -> None:
        """
        Let inferences fail until the engine is reopened.

        Ten failures alone need not be ten in a row: workers overtake each other on their way to
        the BPU.
        """
        self.set('fail.hbDNNInfer -6000012')
        self.stream_until_down()
        self.set('fail.hbDNNInfer 0')

    def stream_until_well(self) -> None:
        """Wait for the end of a story: one line, right results, diagnostics that say OK."""
        down, _ = self.stories()
        self.stream_until(lambda: self.stories() == (down, down))
        self.stream_until_answered()
        self.stream_until_told(OK, 'classifying')
        assert self.stories() == (down, down)

    def end(self, number: signal.Signals = signal.SIGINT) -> float:
        """End the node; it has to end well. Returns the seconds that it took."""
        start = time.monotonic()
        self.node.stop(number)
        return time.monotonic() - start

    def check_memory(self, is_hung: bool = False) -> None:
        """
        Nothing may have leaked, by what the emulator counted until the process ended.

        :param is_hung: some memory may have been left, since tasks may still write to it.
        """
        counts = read_report(self.report)
        left = [counts[taken] - counts[given] for taken, given in BALANCED]
        assert left[1:] == [0, 0] and (left[0] > 0 if is_hung else left[0] == 0), left
        assert [counts[key] for key in MISUSES] == [0, 0, 0]


def start_scene(folder: Path, libdnn_folder: Path, starter: NodeStarter, peer: Peer,
                **parameters: object) -> Scene:
    report, model = folder / 'report', folder / 'model.bin'
    model.write_bytes(MODEL.read_bytes())
    node = starter.on_emulated_bpu(libdnn_folder, report, '', **{
        **RELIABLE, 'model_path': model, 'class_id_format': 'index',
        'inference_timeout': INFERENCE_TIMEOUT,
        **parameters})
    return Scene(node, peer, report, model)


@pytest.fixture(scope='module')
def scene(tmp_path_factory: pytest.TempPathFactory, libdnn_folder: Path) -> Iterator[Scene]:
    """One node that lives through all faults, one after the other, and then ends well."""
    folder = tmp_path_factory.mktemp('faults')
    starter = NodeStarter(folder, libdnn_folder)
    peer = Peer(starter.domain)
    try:
        scene = start_scene(folder, libdnn_folder, starter, peer)
        yield scene
        assert scene.end() < LONGEST_END
        scene.check_memory()
    finally:
        starter.kill()
        peer.close()


class Fault(NamedTuple):
    """What goes wrong until it is repaired, and the words that tell so."""

    setting: str
    words: str


EACH_FRAME = ('hbSysFlushMem', 'hbDNNInfer', 'hbDNNWaitTaskDone', 'hbDNNReleaseTask', 'task')


def say(function: str) -> str:
    """Return what is told when a function fails."""
    return f"{'hbDNNWaitTaskDone' if function == 'task' else function} failed with -6000"


@pytest.mark.parametrize('function', EACH_FRAME)
@pytest.mark.parametrize('times, setting', [(1, 'fail_next.{} 1'), (5, 'fail_rate.{} 0.2')])
def test_a_call_that_fails_now_and_then(
        scene: Scene, function: str, times: int, setting: str) -> None:
    """It costs images, is told, and needs no reopening."""
    before, reports = scene.stories(), scene.count_reports()
    first = scene.node.ask(f'injected.{function}')
    scene.set(setting.format(function))
    scene.stream_until(lambda: scene.node.ask(f'injected.{function}') >= first + times)
    scene.set(f'fail_rate.{function} 0')
    scene.stream_until_told(WARN + ERROR, say(function), reports)
    scene.stream_until_answered()
    assert scene.stories() == before


ALWAYS = [
    *(Fault(f'fail.{function} -6000001', say(function)) for function in EACH_FRAME[:-1]),
    Fault('fail.task -6000012', 'hbDNNWaitTaskDone failed with -6000012'),
    Fault('nan 1', 'the network gave scores from nan to nan'),
    Fault('inf 1', 'the network gave scores from inf to inf'),
    Fault('out_of_range 1', 'another kind than before'),
    Fault('busy 1', 'hbDNNInfer failed with -6000009, too many tasks'),
    Fault('hang_next 1000', 'did not answer within inference_timeout, 1 s')]


@pytest.mark.parametrize('fault', ALWAYS, ids=lambda fault: fault.setting.split()[0])
def test_what_fails_always_is_reopened_until_it_works(scene: Scene, fault: Fault) -> None:
    failed = scene.stories()[1]
    scene.set(fault.setting)
    scene.stream_until_down()
    # Before the second attempt nothing need have been dropped. What was reported before the
    # engine went down may come only now.
    values = scene.stream_until_told(
        ERROR, rf'the engine is down for .*, \d*[2-9] reopening\(s\) so far: .*{fault.words}')
    assert int(values['engine reopenings']) > 1 and int(values['dropped']) > 0
    scene.set(f'{fault.setting.split()[0]} 0')
    scene.stream_until_well()
    assert scene.stories()[1] == failed + 1


def test_a_model_file_that_vanishes_matters_only_when_it_is_reopened(scene: Scene) -> None:
    scene.model.unlink()
    scene.stream_until_answered()
    for content, words in ((None, 'does not exist'), (b'torn', 'cannot be opened')):
        if content is not None:
            scene.model.write_bytes(content)
        scene.bring_down()
        scene.stream_until_told(ERROR, words)
        scene.model.write_bytes(MODEL.read_bytes())
        scene.stream_until_well()


def test_no_memory_of_the_bpu(scene: Scene) -> None:
    scene.set('memory_limit_bytes 100000')
    scene.bring_down()
    scene.stream_until_told(ERROR, 'hbSysAllocCachedMem failed with -6000130, out of BPU memory')
    scene.set('memory_limit_bytes 0')
    scene.stream_until_well()


def test_a_late_answer_never_becomes_another_image_s(scene: Scene) -> None:
    """The BPU hangs, the engine is reopened, and only then the BPU does what it was given."""
    for _ in range(2):
        scene.set('hang 1')
        scene.stream_until_down()
        scene.stream_until_told(ERROR, 'the engine is down')
        scene.set('hang 0')
        scene.stream_until_well()


# Transitions and the end, at bad moments


@pytest.fixture
def own_scene(tmp_path: Path, libdnn_folder: Path, start_node: NodeStarter,
              peer: Peer) -> Callable[..., Scene]:
    """Return what starts a node of the test's own."""
    return lambda **parameters: start_scene(
        tmp_path, libdnn_folder, start_node, peer, **parameters)


def hang_one(scene: Scene) -> None:
    """Wait for the BPU in vain; images that come one by one wait behind the first."""
    scene.set('hang_next 1000')
    scene.stream_until(lambda: scene.node.ask('live_tasks') > 0)


def hang_all(scene: Scene) -> None:
    """Wait in vain in every worker: images that come faster than they are done are theirs."""
    already_hung = scene.node.ask('live_tasks')
    scene.set('slow_us 50000')
    scene.stream_until(lambda: scene.node.ask('live_tasks') == already_hung + WORKERS)
    scene.set('hang_next 1000')
    scene.stream_until(lambda: scene.node.ask('hang_next') == 1000 - WORKERS)
    scene.set('slow_us 0')


@pytest.mark.parametrize('hang', [hang_one, hang_all])
def test_nobody_waits_for_a_hung_task(
        own_scene: Callable[..., Scene], hang: Callable[[Scene], None]) -> None:
    """Not even with the longest timeout: parameters, transitions and the end come at once."""
    scene = own_scene(inference_timeout=60.0)
    hang(scene)
    assert scene.peer.set_parameter('top_k', 3) == ''
    start = time.monotonic()
    scene.peer.change_states('deactivate')
    assert time.monotonic() - start < LONGEST_END
    scene.set('hang_next 0')
    scene.peer.change_states('activate')
    scene.stream_until_answered()
    hang(scene)
    assert scene.end() < LONGEST_END
    scene.check_memory(is_hung=True)


WAYS = {
    'deactivate': ('deactivate', 'activate'),
    'cleanup': ('deactivate', 'cleanup', 'configure', 'activate'),
    'shutdown': ('shutdown',),
    'signal': ()}


@pytest.mark.parametrize('way', WAYS)
@pytest.mark.parametrize('fault', ['fail.hbDNNInfer -6000012', 'hang_next 1000'])
def test_transitions_while_the_engine_is_reopened(
        own_scene: Callable[..., Scene], way: str, fault: str) -> None:
    """In the pause after an attempt, or in the midst of one, which would hang for a minute."""
    scene = own_scene()
    scene.set(fault)
    scene.stream_until_down()
    scene.stream_until_told(ERROR, 'the engine is down for')
    if fault.startswith('hang'):
        assert scene.peer.set_parameter('inference_timeout', 60.0) == ''
        tasks = scene.node.ask('tasks')
        scene.stream_until(lambda: scene.node.ask('tasks') > tasks)
    start = time.monotonic()
    for transition in WAYS[way]:
        if transition in ('activate', 'configure'):
            assert time.monotonic() - start < LONGEST_END
            scene.set(f'{fault.split()[0]} 0')
        # A stop that had no time for the engine leaves it to a thread for a moment longer.
        wait_until(lambda: scene.peer.change_state(transition), lambda: transition)
    if way == 'deactivate':
        scene.node.wait_for_line('deactivated: .* the model failed and is closed')
    if WAYS[way][-1:] == ('activate',):
        scene.stream_until_answered()
        assert scene.stories() == (1, 0)  # nothing is left of the story
        start = time.monotonic()
    scene.end()
    assert time.monotonic() - start < LONGEST_END
    scene.check_memory(
        is_hung=WAYS[way][-1:] != ('activate',) and fault.startswith('hang'))


def test_a_stop_while_the_model_is_tried(
        start_node: NodeStarter, libdnn_folder: Path, tmp_path: Path) -> None:
    """The first inference hangs: the signal ends it, and the exit code is that of a good end."""
    node = start_node.on_emulated_bpu(
        libdnn_folder, tmp_path / 'report', 'hang_next=1', model_path=MODEL,
        inference_timeout=60.0)
    wait_until(lambda: node.ask('live_tasks') == 1)
    start = time.monotonic()
    node.stop()
    assert time.monotonic() - start < LONGEST_END


def test_a_library_that_lacks_functions(
        start_node: NodeStarter, tmp_path: Path) -> None:
    (tmp_path / 'old.c').write_text('int hbDNNRelease(void *packed) { return !packed; }')
    subprocess.run(['cc', '-shared', '-fPIC', str(tmp_path / 'old.c'), '-o',
                    str(tmp_path / 'libdnn.so')], check=True)
    node = start_node(parameters={'model_path': MODEL, 'backend': 'libdnn'},
                      **find_libraries_in(tmp_path))
    assert node.wait() == 1
    assert len(node.lines) == 1, node.text
    assert 'has no function hbDNNInitializeFromFiles' in node.text
