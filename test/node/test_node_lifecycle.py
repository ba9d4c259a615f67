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

"""Life cycle of the node, driven from outside as by a lifecycle manager."""

from __future__ import annotations

import gc
import os
from pathlib import Path
import threading
from typing import Any, Callable, Dict, Iterator, List, NamedTuple

from lifecycle_msgs.msg import TransitionEvent
from mobilenetv2_ros.inference.classifier import Classifier
from mobilenetv2_ros.inference.loaded_model import LoadedModel
from mobilenetv2_ros.node import image_input
from mobilenetv2_ros.node.classifier_node import ClassifierNode
from mobilenetv2_ros.node.stream import ImageStream
import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from sensor_msgs.msg import CompressedImage, Image
from support.checkout import BUNDLED_MODEL
from support.engines import needs_litert, TINY_ENGINE
from support.fixture_types import TinyModel
from support.node_process import NodeProcess, NodeStarter, RELIABLE, wait_until
from support.ros_peer import make_compressed, make_image, Peer
from vision_msgs.msg import Classification

CLASSIFICATION = '/mobilenetv2/classification'
ALL_ROUND = ('configure', 'activate', 'deactivate', 'cleanup')


@pytest.fixture
def image() -> Image:
    """Make a small image."""
    return make_image(np.full((32, 48, 3), 200, np.uint8))


def start_idle(start_node: NodeStarter, model: TinyModel, **parameters: object) -> NodeProcess:
    """Start a node that waits for transitions."""
    return start_node(
        parameters={**RELIABLE, **model.parameters, 'autostart': False, **parameters})


def test_a_manager_drives_it(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image) -> None:
    start_idle(start_node, tiny_model)
    events: List[TransitionEvent] = peer.collect(
        TransitionEvent, '/mobilenetv2/transition_event')
    assert peer.state() == 'unconfigured'
    for _ in range(2):
        peer.change_states('configure')
        assert peer.state() == 'inactive'
        assert peer.node.count_subscribers('image_raw') == 0
        peer.change_states('activate')
        assert peer.state() == 'active'
        peer.connect(image)
        peer.classify(image)
        peer.change_states('deactivate')
        assert peer.state() == 'inactive'
        peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
        peer.change_states('cleanup')
        assert peer.state() == 'unconfigured'
        peer.wait_until(lambda: peer.node.count_publishers(CLASSIFICATION) == 0)
    peer.wait_until(lambda: len(events) >= 16)
    assert [event.goal_state.label for event in events[-8:]] == [
        'configuring', 'inactive', 'activating', 'active',
        'deactivating', 'inactive', 'cleaningup', 'unconfigured']


def test_it_brings_itself_up(start_node: NodeStarter, peer: Peer, tiny_model: TinyModel,
                             image: Image) -> None:
    start_node(parameters=tiny_model.parameters)
    peer.connect(image)
    assert peer.state() == 'active'


def test_deactivated_it_rests(start_node: NodeStarter, peer: Peer, image: Image) -> None:
    """Images that go on coming cost it nothing."""
    node = start_node(parameters=RELIABLE)
    peer.connect(image)
    peer.change_states('deactivate')
    peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
    before = sum(node.usage.cpu_times()[:2])
    for _ in range(100):
        peer.publish(image)
        peer.spin_for(0.01)
    # 100 images take it 100 times 10 ms or more; a second of diagnostics and services nearly 0.
    assert sum(node.usage.cpu_times()[:2]) - before < 0.3
    assert not peer.results
    peer.change_states('activate')
    peer.connect(image)


@pytest.mark.parametrize('wrong', [
    {'model_path': '/missing.onnx'}, {'labels_path': '/missing.txt'},
    {'backend': 'onnx' if TINY_ENGINE == 'libdnn' else 'libdnn'}])
def test_after_a_failed_configure_the_next_one_works(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image,
        wrong: Dict[str, object]) -> None:
    node = start_idle(start_node, tiny_model, **wrong)
    for times in (1, 2):
        assert not peer.change_state('configure')
        assert peer.state() == 'unconfigured'
        node.wait_for_line('cannot configure', times)
    good = {**tiny_model.parameters, 'backend': 'auto'}
    for name in wrong:
        assert peer.set_parameter(name, str(good[name])) == ''
    peer.change_states('configure', 'activate')
    peer.connect(image)
    peer.classify(image)


CRASHING_BYTE = 4728817, 255
"""Where in the bundled model, and what: LiteRT 2.3 calls abort() when it opens this one."""


@needs_litert
def test_a_model_that_crashes_its_engine_does_not_end_the_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, image: Image,
        tmp_path: Path) -> None:
    """It ends a program that opens it at once."""
    content = bytearray(BUNDLED_MODEL.read_bytes())
    place, content[place] = CRASHING_BYTE
    model = tmp_path / 'crashing.tflite'
    model.write_bytes(content)
    victim = start_node.run('-c', '\n'.join([
        'from mobilenetv2_ros.inference.loaded_model import LoadedModel',
        f'LoadedModel({str(model)!r}, trust_model=True)']))
    if victim.wait() >= 0:
        pytest.skip('this version of LiteRT survives the model')
    node = start_idle(start_node, tiny_model, model_path=model)
    assert not peer.change_state('configure')
    assert peer.state() == 'unconfigured'
    line = node.wait_for_line('cannot configure')
    assert f"model '{model}' crashed its engine (SIG" in line and 'set trust_model' in line
    assert peer.set_parameter('model_path', str(tiny_model.path)) == ''
    peer.change_states('configure', 'activate')
    peer.connect(image)
    peer.classify(image)


def test_after_a_failed_activate_it_can_be_cleaned_up(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_idle(
        start_node, tiny_model,
        **{'qos_overrides./image_raw.subscription.reliability': 'sometimes'})
    peer.change_states('configure')
    for times in (1, 2):
        assert not peer.change_state('activate')
        assert peer.state() == 'inactive'
        node.wait_for_line("cannot subscribe '/image_raw'", times)
    peer.change_states('cleanup', 'configure', 'cleanup')


def test_whatever_goes_wrong_is_told_and_leaves_nothing(
        own_domain: None, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    """Also what nobody has thought of: rclpy swallows it."""
    def fail(*_: object) -> None:
        raise KeyError('no such thing')

    context = Context()
    rclpy.init(args=[], context=context)
    node = ClassifierNode(context=context, parameter_overrides=[
        Parameter(name, value=str(value)) for name, value in tiny_model.parameters.items()])
    try:
        for place, trigger, state in (
                ('session.Outputs', node.trigger_configure, 'configure'),
                ('stream.Pipeline', node.trigger_activate, 'activate')):
            with monkeypatch.context() as patch:
                patch.setattr(f'mobilenetv2_ros.node.{place}', fail)
                assert trigger() == TransitionCallbackReturn.FAILURE
            assert f"cannot {state}: KeyError: 'no such thing'" in capfd.readouterr().err
            assert trigger() == TransitionCallbackReturn.SUCCESS
    finally:
        node.destroy_node()
        context.try_shutdown()


def refuse_thread(thread: threading.Thread) -> None:
    """Fail as Python does where the system has no more threads."""
    raise RuntimeError("can't start new thread")


def list_resources(node: ClassifierNode) -> Dict[str, int]:
    """Count what a transition takes and has to give back."""
    gc.collect()  # what tests before have left
    return {'descriptors': len(os.listdir('/proc/self/fd')), 'threads': threading.active_count(),
            'publishers': len(list(node.publishers)),
            'subscriptions': len(list(super(ClassifierNode, node).subscriptions))}


def test_without_threads_nothing_is_left(
        own_domain: None, tiny_model: TinyModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each thread that a transition starts is refused once: what was made before is given back."""
    start = threading.Thread.start
    left = [0]

    def refuse(thread: threading.Thread) -> None:
        left[0] -= 1
        if left[0] < 0:
            refuse_thread(thread)
        start(thread)

    context = Context()
    rclpy.init(args=[], context=context)
    node = ClassifierNode(context=context, parameter_overrides=[
        Parameter('thread_count', value=3),
        *(Parameter(name, value=str(value)) for name, value in tiny_model.parameters.items())])
    try:
        for trigger, threads in ((node.trigger_configure, 1), (node.trigger_activate, 4)):
            for allowed in range(threads):
                before = list_resources(node)
                with monkeypatch.context() as patch:
                    left[0] = allowed
                    patch.setattr(threading.Thread, 'start', refuse)
                    assert trigger() == TransitionCallbackReturn.FAILURE
                assert list_resources(node) == before, (trigger.__name__, allowed)
            assert trigger() == TransitionCallbackReturn.SUCCESS
    finally:
        node.destroy_node()
        context.try_shutdown()


class EmbeddedNode:
    """A node in this process, in which something can be slow; and its camera."""

    def __init__(self, model: TinyModel) -> None:
        self.begun, self.go_on, self.ended = (
            threading.Event(), threading.Event(), threading.Event())
        self.results: List[str] = []
        self._context = Context()
        rclpy.init(args=[], context=self._context)
        values = {**model.parameters, 'image_transport': 'compressed'}
        self.node = ClassifierNode(context=self._context, parameter_overrides=[
            Parameter(name, value=str(value)) for name, value in values.items()])
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self.node.create_subscription(
            Classification, '~/classification', self._keep_result, 10)
        self._camera = self.node.create_publisher(CompressedImage, 'image_raw/compressed', 10)
        self._image = make_compressed(np.full((32, 48, 3), 200, np.uint8))

    def _keep_result(self, result: Classification) -> None:
        self.results.append(result.header.frame_id)

    def make_slow(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Let a call with an image that is called slow take as long as the test wants."""
        def wrapped(*arguments: Any) -> Any:
            if any(getattr(getattr(one, 'header', None), 'frame_id', '') == 'slow'
                   for one in arguments):
                self.begun.set()
                assert self.go_on.wait(60)
                self.ended.set()
            return call(*arguments)

        return wrapped

    def publish(self, frame_id: str) -> None:
        """Publish an image until it is worked on, or classified; the first ones may get lost."""
        self._image.header.frame_id = frame_id
        self.begun.clear()
        while not (self.begun.is_set() if frame_id == 'slow' else frame_id in self.results):
            self._camera.publish(self._image)
            self._executor.spin_once(1.0)

    def close(self) -> None:
        self.go_on.set()
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()
        wait_until(lambda: not any(
            thread.name.startswith('worker') for thread in threading.enumerate()))


@pytest.fixture
def embedded(own_domain: None, tiny_model: TinyModel) -> Iterator[EmbeddedNode]:
    embedded = EmbeddedNode(tiny_model)
    yield embedded
    embedded.close()


def change_states(*transitions: Callable[[], TransitionCallbackReturn]) -> None:
    for transition in transitions:
        assert transition() == TransitionCallbackReturn.SUCCESS


def test_no_transition_waits_for_a_decoder(
        embedded: EmbeddedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it decodes then is nobody's any more, and the next image finds the engine free."""
    monkeypatch.setattr(image_input, 'decode_compressed',
                        embedded.make_slow(image_input.decode_compressed))
    node = embedded.node
    change_states(node.trigger_configure, node.trigger_activate)
    embedded.publish('slow')
    change_states(node.trigger_deactivate, node.trigger_activate)
    embedded.publish('good')
    embedded.publish('slow')
    change_states(node.trigger_deactivate, node.trigger_cleanup)
    assert not embedded.ended.is_set() and set(embedded.results) == {'good'}


def test_no_transition_waits_for_an_engine_that_hangs(
        embedded: EmbeddedNode, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    """It is left to a thread, which closes the model when the call returns, and never before."""
    monkeypatch.setattr('mobilenetv2_ros.pipeline.pipeline._MIN_PATIENCE', 0.1)
    monkeypatch.setattr(
        Classifier, 'pre_process', embedded.make_slow(Classifier.pre_process))
    closed: List[bool] = []
    close = LoadedModel.close

    def note_closing(model: LoadedModel) -> None:
        closed.append(embedded.ended.is_set())
        close(model)

    monkeypatch.setattr(LoadedModel, 'close', note_closing)
    node = embedded.node
    change_states(node.trigger_configure, node.trigger_activate)
    embedded.publish('slow')
    change_states(node.trigger_deactivate)
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert 'the engine hangs in a call; activate the node when' in capfd.readouterr().err
    change_states(node.trigger_cleanup, node.trigger_configure, node.trigger_activate)
    embedded.publish('good')
    assert not closed
    embedded.go_on.set()
    wait_until(lambda: closed == [True])
    change_states(node.trigger_deactivate, node.trigger_cleanup)
    assert set(embedded.results) == {'good'} and len(closed) == 2


def test_an_engine_that_hung_can_be_used_again(
        embedded: EmbeddedNode, monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str]) -> None:
    """No thread is needed to close it, which may be what the system lacks."""
    for module in ('pipeline.pipeline._MIN_PATIENCE', 'node.session._PATIENCE'):
        monkeypatch.setattr(f'mobilenetv2_ros.{module}', 0.1)
    monkeypatch.setattr(
        Classifier, 'pre_process', embedded.make_slow(Classifier.pre_process))
    node = embedded.node
    change_states(node.trigger_configure, node.trigger_activate)
    embedded.publish('slow')
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, 'start', refuse_thread)
        change_states(node.trigger_deactivate)
    assert node.trigger_activate() == TransitionCallbackReturn.FAILURE
    assert 'activate the node when it has returned' in capfd.readouterr().err
    embedded.go_on.set()
    wait_until(lambda: node.trigger_activate() == TransitionCallbackReturn.SUCCESS)
    embedded.publish('good')
    change_states(node.trigger_deactivate, node.trigger_cleanup)
    assert set(embedded.results) == {'good'}


def test_parameters_are_set_from_other_threads_amid_transitions(embedded: EmbeddedNode) -> None:
    """What is published of them needs publishers, which come and go."""
    node = embedded.node
    ending = threading.Event()
    results: List[bool] = []

    def set_on(first: float) -> None:
        while not ending.is_set():
            for threshold in (first, first + 0.1):
                result, = node.set_parameters([Parameter('score_threshold', value=threshold)])
                results.append(result.successful)
        results.append(True)

    threads = [threading.Thread(target=set_on, args=(first,)) for first in (0.1, 0.5)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        change_states(node.trigger_configure, node.trigger_activate, node.trigger_deactivate,
                      node.trigger_cleanup)
    assert all(thread.is_alive() for thread in threads)
    ending.set()
    for thread in threads:
        thread.join()
    assert all(results)


def test_a_report_amid_a_deactivation_subscribes_nothing(
        embedded: EmbeddedNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """An executor that spins in another thread may be about to follow what is wanted."""
    node = embedded.node
    change_states(node.trigger_configure)
    before = list_resources(node)
    change_states(node.trigger_activate)
    reporting, go_on = threading.Event(), threading.Event()
    follow = ImageStream._follow_demand

    def linger(stream: ImageStream) -> object:
        reporting.set()
        go_on.wait(1.0)
        return follow(stream)

    monkeypatch.setattr(ImageStream, '_follow_demand', linger)
    report = threading.Thread(target=node._publish_diagnostics)
    report.start()
    assert reporting.wait(30)
    change_states(node.trigger_deactivate)
    go_on.set()
    report.join()
    assert list_resources(node) == before


def test_transitions_that_do_not_fit_are_refused(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_idle(start_node, tiny_model)
    assert not peer.change_state('activate')
    assert not peer.change_state('nonsense')
    assert peer.state() == 'unconfigured'
    peer.change_states('configure')
    assert not peer.change_state('configure')
    assert peer.state() == 'inactive'
    node.stop()


@pytest.mark.parametrize('before', [(), ('configure',), ('configure', 'activate')])
def test_it_can_be_shut_down_in_every_state(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, before: List[str]) -> None:
    node = start_idle(start_node, tiny_model)
    peer.change_states(*before)
    peer.change_states('shutdown')
    assert peer.state() == 'finalized'
    peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
    peer.wait_until(lambda: peer.node.count_publishers(CLASSIFICATION) == 0)
    node.stop()


def test_a_failed_start_ends_the_process(start_node: NodeStarter, tiny_model: TinyModel) -> None:
    """So that respawn starts it again."""
    node = start_node(parameters={**tiny_model.parameters, 'model_path': '/missing.onnx'})
    assert node.wait() == 1
    assert len(node.lines) == 1 and 'cannot configure' in node.lines[0]


class Belongings(NamedTuple):
    """What a process has."""

    threads: int
    files: int
    megabytes: float


def count(node: NodeProcess) -> Belongings:
    return Belongings(
        node.usage.num_threads(), node.usage.num_fds(), node.usage.memory_info().rss / 1e6)


def test_200_rounds_leave_nothing_behind(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_idle(start_node, tiny_model, thread_count=2)
    for _ in range(40):
        peer.change_states(*ALL_ROUND)
    before = count(node)
    for _ in range(200):
        peer.change_states(*ALL_ROUND)
    # A thread that has been joined may take a moment to vanish from /proc, at the first count too.
    wait_until(lambda: count(node).threads <= before.threads)
    after = count(node)
    assert after.files == before.files
    assert after.megabytes - before.megabytes < 4  # measured: 1
    peer.change_states('configure', 'activate')
    assert peer.state() == 'active'
