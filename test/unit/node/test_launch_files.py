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

"""What the launch files and the parameter file say, without starting anything."""

from __future__ import annotations

from pathlib import Path
import tempfile
from typing import Any, Dict, List, Set

from mobilenetv2_ros.node.parameters import PARAMETERS
import pytest
from support.checkout import CHECKOUT
import yaml

OF_CLASSIFY = {row.name for row in PARAMETERS} | {
    'image', 'params_file', 'namespace', 'log_level', 'respawn', 'use_sim_time', 'cameras',
    'one_process', 'large_image_transport'}
PROFILE = 'FASTDDS_DEFAULT_PROFILES_FILE'
OF_DEMO = OF_CLASSIFY | {'source', 'rate', 'encoding', 'size'}


@pytest.fixture(autouse=True)
def clean_up_parameter_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let launch_ros write where pytest tidies up."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))


@pytest.fixture(autouse=True)
def forget_profiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the launch files set the profile of Fast DDS, under its name since Kilted."""
    monkeypatch.setenv('ROS_DISTRO', 'kilted')
    monkeypatch.delenv(PROFILE, raising=False)


def describe(name: str) -> Any:
    """Load a launch file."""
    sources = pytest.importorskip(
        'launch.launch_description_sources', reason='launch is not installed')
    pytest.importorskip('launch_ros', reason='launch_ros is not installed')
    path = str(CHECKOUT / 'launch' / f'{name}.launch.py')
    return sources.PythonLaunchDescriptionSource(path).try_get_launch_description_without_context()


def evaluate_all(name: str, **arguments: str) -> List[Any]:
    """
    Evaluate a launch file as ros2 launch does, up to the point where processes would start.

    :returns: the actions that start nodes.
    """
    return evaluate_description(describe(name), **arguments)


def evaluate_description(description: Any, **arguments: str) -> List[Any]:
    """Evaluate a launch description likewise."""
    from launch import LaunchContext
    from launch_ros.actions import Node

    context = LaunchContext()
    context.launch_configurations.update(arguments)
    nodes: List[Any] = []
    waiting = [description]
    while waiting:
        entity = waiting.pop(0)
        if isinstance(entity, Node):
            entity._perform_substitutions(context)
            nodes.append(entity)
        else:
            waiting[:0] = entity.visit(context) or []
    return nodes


def evaluate(name: str, **arguments: str) -> Dict[str, Any]:
    """Return the actions that start nodes, by the name of the node's executable."""
    return {node.node_executable: node for node in evaluate_all(name, **arguments)}


def environment(node: Any) -> Dict[str, str]:
    """Read what a process gets besides the environment of ros2 launch."""
    return {''.join(part.text for part in name): ''.join(part.text for part in value)
            for name, value in node.additional_env or ()}


def overrides(node: Any) -> Dict[str, Any]:
    """Read the parameters that a node is given besides the package's file."""
    values: Dict[str, Any] = {}
    for path, is_file in node._Node__expanded_parameter_arguments:
        assert is_file
        if Path(path) != CHECKOUT / 'config' / 'classifier.yaml':
            # launch_ros marks lists as tuples of Python, which rcl passes over.
            content, = yaml.full_load(Path(path).read_text(encoding='utf-8')).values()
            values.update(content['ros__parameters'])
    return values


@pytest.mark.parametrize('respawn, ended_by', [
    ('false', {'classifier_node', 'image_source'}), ('true', {'image_source'})])
def test_the_demo_ends_with_one_of_its_processes(respawn: str, ended_by: Set[str]) -> None:
    description = describe('demo')
    from launch import LaunchContext
    from launch.actions import ExecuteProcess, RegisterEventHandler, Shutdown
    from launch.events.process import ProcessExited

    handler, = (entity.event_handler for entity in description.entities
                if isinstance(entity, RegisterEventHandler))
    context = LaunchContext()
    context.launch_configurations.update(respawn=respawn)

    def has_ended(action: Any) -> Any:
        event = ProcessExited(
            action=action, name='one', cmd=[], cwd=None, env=None, pid=1, returncode=1)
        return handler.handle(event, context) if handler.matches(event) else None

    nodes = evaluate('demo')
    assert {name for name, node in nodes.items()
            if isinstance(has_ended(node), Shutdown)} == ended_by
    assert has_ended(ExecuteProcess(cmd=['true'])) is None


@pytest.mark.parametrize('name, expected', [('classify', OF_CLASSIFY), ('demo', OF_DEMO)])
def test_every_argument_is_described_and_has_a_default(name: str, expected: Any) -> None:
    arguments = {argument.name: argument for argument in describe(name).get_launch_arguments()}
    assert set(arguments) == expected
    for argument in arguments.values():
        assert argument.default_value is not None
        assert argument.description.strip().split('.')[0]
        assert argument.description != 'no description given'


def test_nothing_is_overridden_unless_it_is_given() -> None:
    assert overrides(evaluate('classify')['classifier_node']) == {}


def test_given_arguments_keep_their_types() -> None:
    node = evaluate(
        'classify', model_path='123', top_k='3', score_threshold='1', autostart='False',
        use_sim_time='true', classes='[coffee mug, 504]',
        inference_timeout='2.5', class_id_format='index')['classifier_node']
    found = overrides(node)
    expected = {
        'model_path': '123', 'top_k': 3, 'score_threshold': 1.0, 'autostart': False,
        'use_sim_time': True, 'classes': ('coffee mug', '504'),
        'inference_timeout': 2.5, 'class_id_format': 'index'}
    assert found == expected
    assert {name: type(value) for name, value in found.items()} == {
        name: type(value) for name, value in expected.items()}


def test_names_topics_and_log_level() -> None:
    node = evaluate(
        'classify', namespace='front', image='camera/image', log_level='warn')['classifier_node']
    assert node.node_name == '/front/mobilenetv2'
    assert ('image_raw', 'camera/image') in node.expanded_remapping_rules
    words = words_of(node)
    assert words[words.index('--log-level') + 1] == 'warn'


def test_the_demo_gives_the_source_its_types_and_the_topic() -> None:
    nodes = evaluate(
        'demo', source='0', rate='5', size='64x48', encoding='nv12', namespace='front',
        image='camera/image', image_transport='compressed')
    source = nodes['image_source']
    assert overrides(source) == {
        'source': '0', 'rate': 5.0, 'size': '64x48', 'encoding': 'nv12',
        'image_transport': 'compressed'}
    assert isinstance(overrides(source)['rate'], float)
    assert source.node_name == '/front/image_source'
    assert source.expanded_remapping_rules == [('image_raw', 'camera/image')]
    assert overrides(nodes['classifier_node']) == {'image_transport': 'compressed'}


def test_each_camera_has_a_node_in_its_namespace() -> None:
    nodes = evaluate_all('classify', cameras='[front,rear]', image='camera/image', top_k='3')
    assert [node.node_name for node in nodes] == ['/front/mobilenetv2', '/rear/mobilenetv2']
    for node in nodes:
        assert ('image_raw', 'camera/image') in node.expanded_remapping_rules
        assert overrides(node) == {'top_k': 3}


def words_of(node: Any) -> List[str]:
    """Read the command line of a process, as far as it is known before it starts."""
    return [part.text for word in node.cmd for part in word if hasattr(part, 'text')]


def test_all_cameras_in_one_process() -> None:
    node, = evaluate_all(
        'classify', cameras='[front,rear]', one_process='true', namespace='robot', top_k='3',
        image='camera/image', log_level='warn', respawn='true')
    words = words_of(node)
    at = words.index('--cameras')
    assert words[at:at + 4] == ['--cameras', 'front', 'rear', '--ros-args']
    assert not any('__node:=' in word for word in words)
    assert node.node_name.startswith('/robot/<')
    assert ('image_raw', 'camera/image') in node.expanded_remapping_rules
    assert overrides(node) == {'top_k': 3}
    path, = (path for path, _ in node._Node__expanded_parameter_arguments
             if Path(path) != CHECKOUT / 'config' / 'classifier.yaml')
    assert list(yaml.full_load(Path(path).read_text(encoding='utf-8'))) == ['/**']
    assert environment(node)[PROFILE].endswith('fastdds_classifier.xml')


def test_without_cameras_one_process_changes_nothing() -> None:
    node, = evaluate_all('classify', one_process='true')
    assert node.node_name == '/mobilenetv2'
    assert '--cameras' not in words_of(node)


def test_the_demo_has_a_source_for_each_camera_of_one_process() -> None:
    nodes = evaluate_all('demo', cameras='[front, rear]', one_process='true')
    assert [node.node_executable for node in nodes] == [
        'classifier_node', 'image_source', 'image_source']
    assert [node.node_name for node in nodes[1:]] == [
        '/front/image_source', '/rear/image_source']


def test_the_demo_has_a_source_for_each_camera() -> None:
    nodes = evaluate_all('demo', cameras='[front, rear]', namespace='robot')
    assert sorted(node.node_name for node in nodes) == [
        '/robot/front/image_source', '/robot/front/mobilenetv2',
        '/robot/rear/image_source', '/robot/rear/mobilenetv2']


def test_another_launch_file_includes_the_cameras_below_its_namespace() -> None:
    describe('classify')
    from launch import LaunchDescription
    from launch.actions import GroupAction, IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.actions import PushRosNamespace

    nodes = evaluate_description(LaunchDescription([GroupAction([
        PushRosNamespace('robot'),
        IncludeLaunchDescription(
            PythonLaunchDescriptionSource(str(CHECKOUT / 'launch' / 'classify.launch.py')),
            launch_arguments={'cameras': '[front,rear]', 'log_level': 'warn'}.items())])]))
    assert [node.node_name for node in nodes] == [
        '/robot/front/mobilenetv2', '/robot/rear/mobilenetv2']


@pytest.mark.parametrize('name', ['classify', 'demo'])
@pytest.mark.parametrize('word, given', [('true', True), ('True', True), ('false', False)])
def test_large_image_transport(name: str, word: str, given: bool) -> None:
    nodes = evaluate_all(name, large_image_transport=word)
    profiles = {'mobilenetv2': 'fastdds_classifier.xml',
                'image_source': 'fastdds_large_images.xml'}
    for node in nodes:
        profile = CHECKOUT / 'config' / profiles[node.node_name.rpartition('/')[2]]
        assert environment(node) == ({PROFILE: str(profile)} if given else {})


def test_a_profile_of_the_users_own_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PROFILE, '/home/somebody/profile.xml')
    assert environment(evaluate('classify')['classifier_node']) == {}


@pytest.mark.parametrize('name, arguments, words', [
    ('classify', {'top_k': 'many'}, "top_k 'many' is not usable; expected a whole number"),
    ('classify', {'score_threshold': 'x'}, "score_threshold 'x' is not usable; expected a number"),
    ('classify', {'params_file': '/missing.yaml'}, "params_file '/missing.yaml' does not exist"),
    ('classify', {'backend': 'gpu'}, 'Argument "backend" provided value "gpu" is not valid'),
    ('classify', {'autostart': 'maybe'}, 'Argument "autostart" provided value "maybe"'),
    ('classify', {'cameras': 'front'}, "cameras 'front' is not usable"),
    ('classify', {'cameras': '[front,front]', 'one_process': 'true'}, 'is not usable; expected'),
    ('classify', {'one_process': 'maybe'}, 'Argument "one_process" provided value "maybe"'),
    ('classify', {'large_image_transport': 'maybe'}, 'Argument "large_image_transport" provided'),
    ('classify', {'top_k': '0'}, 'top_k 0 is out of range; expected 1 to 1000'),
    ('classify', {'classes': '[1.5]'}, 'expected names or indices'),
    ('demo', {'rate': '0'}, 'rate 0.0 is out of range; expected 0.01 to 1000.0'),
    ('demo', {'rate': '-1'}, 'rate -1.0 is out of range'),
    ('demo', {'rate': '1e9'}, 'rate 1000000000.0 is out of range'),
    ('demo', {'encoding': 'rgb12'}, "encoding 'rgb12' is unknown"),
    ('demo', {'rate': 'fast'}, "rate 'fast' is not usable; expected a number such as 1.0")])
def test_mistakes_are_told_before_anything_starts(
        name: str, arguments: Dict[str, str], words: str) -> None:
    describe(name)
    with pytest.raises(RuntimeError, match=words):
        evaluate(name, **arguments)


def test_the_parameter_file_holds_every_default() -> None:
    text = (CHECKOUT / 'config' / 'classifier.yaml').read_text(encoding='utf-8')
    values = yaml.safe_load(text)['/**']['ros__parameters']
    assert values == {row.name: row.default for row in PARAMETERS}
    assert [type(values[row.name]) for row in PARAMETERS] == [
        type(row.default) for row in PARAMETERS]
