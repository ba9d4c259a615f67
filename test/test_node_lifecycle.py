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

from typing import Dict, List, NamedTuple

from conftest import TinyModel
from node_process import NodeProcess, NodeStarter, RELIABLE, wait_until
import numpy as np
import pytest
pytest.importorskip('rclpy', reason='ROS is not installed')
from lifecycle_msgs.msg import TransitionEvent  # noqa: E402, I100
from mobilenetv2_ros import classifier_node  # noqa: E402
from mobilenetv2_ros.classifier_node import ClassifierNode  # noqa: E402
import rclpy  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.lifecycle import TransitionCallbackReturn  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from ros_peer import make_image, Peer  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402

CLASSIFICATION = '/mobilenetv2/classification'
ALL_ROUND = ('configure', 'activate', 'deactivate', 'cleanup')


@pytest.fixture
def picture() -> Image:
    """Make a small picture."""
    return make_image(np.full((32, 48, 3), 200, np.uint8))


def start_idle(start_node: NodeStarter, model: TinyModel, **parameters: object) -> NodeProcess:
    """Start a node that waits for transitions."""
    return start_node(
        parameters={**RELIABLE, **model.parameters, 'autostart': False, **parameters})


def test_a_manager_drives_it(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, picture: Image) -> None:
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
        peer.connect(picture)
        peer.classify(picture)
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
                             picture: Image) -> None:
    start_node(parameters=tiny_model.parameters)
    peer.connect(picture)
    assert peer.state() == 'active'


def test_deactivated_it_rests(start_node: NodeStarter, peer: Peer, picture: Image) -> None:
    """Pictures that go on coming cost it nothing."""
    node = start_node(parameters=RELIABLE)
    peer.connect(picture)
    peer.change_states('deactivate')
    peer.wait_until(lambda: peer.node.count_subscribers('image_raw') == 0)
    before = sum(node.usage.cpu_times()[:2])
    for _ in range(100):
        peer.publish(picture)
        peer.spin_for(0.01)
    # 100 pictures take it 100 times 10 ms or more; a second of diagnostics and services nearly 0.
    assert sum(node.usage.cpu_times()[:2]) - before < 0.3
    assert not peer.results
    peer.change_states('activate')
    peer.connect(picture)


@pytest.mark.parametrize('wrong', [
    {'model_path': '/missing.onnx'}, {'labels_path': '/missing.txt'}, {'backend': 'libdnn'}])
def test_after_a_failed_configure_the_next_one_works(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, picture: Image,
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
    peer.connect(picture)
    peer.classify(picture)


def test_after_a_failed_activate_it_can_be_cleaned_up(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_idle(
        start_node, tiny_model,
        **{'qos_overrides./image_raw.subscription.reliability': 'sometimes'})
    peer.change_states('configure')
    for times in (1, 2):
        assert not peer.change_state('activate')
        assert peer.state() == 'inactive'
        node.wait_for_line("cannot subscribe 'image_raw'", times)
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
        for module_name, trigger, state in (
                ('Outputs', node.trigger_configure, 'configure'),
                ('Pipeline', node.trigger_activate, 'activate')):
            with monkeypatch.context() as patch:
                patch.setattr(classifier_node, module_name, fail)
                assert trigger() == TransitionCallbackReturn.FAILURE
            assert f"cannot {state}: KeyError: 'no such thing'" in capfd.readouterr().err
            assert trigger() == TransitionCallbackReturn.SUCCESS
    finally:
        node.destroy_node()
        context.try_shutdown()


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
    # A thread that has been joined may take a moment to vanish from /proc.
    wait_until(lambda: count(node).threads == before.threads)
    after = count(node)
    assert after.threads == before.threads
    assert after.files == before.files
    assert after.megabytes - before.megabytes < 4  # measured: 1
    peer.change_states('configure', 'activate')
    assert peer.state() == 'active'
