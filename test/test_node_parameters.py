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

"""Parameters of a running node, and the four places where they are listed."""

from __future__ import annotations

import ast
from pathlib import Path
import re
from typing import Any, Dict, Iterator, List

from conftest import TinyModel
import cv2
from mobilenetv2_ros.parameters import AT_START, ParameterRow, PARAMETERS, UNCONFIGURED
from node_process import BUNDLED_MODEL, CHECKOUT, NodeStarter, RELIABLE
import numpy as np
import pytest
pytest.importorskip('rclpy', reason='ROS is not installed')
from ros_peer import (  # noqa: E402, I100
    class_ids, LATCHED, make_compressed, make_image, Peer)
from sensor_msgs.msg import Image  # noqa: E402
from vision_msgs.msg import LabelInfo  # noqa: E402
import yaml  # noqa: E402, I100

ROWS = {row.name: row for row in PARAMETERS}


@pytest.fixture
def coffee(photos: Path) -> Image:
    """Return a photo that is wider than high."""
    return make_image(cv2.imread(str(photos / 'coffee.png')))


def scores(peer: Peer, picture: Image) -> List[float]:
    """Return the scores of a picture's classes, best first."""
    return [one.score for one in peer.classify(picture).results]


# While pictures flow


def test_top_k(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters=RELIABLE)
    peer.connect()
    assert len(peer.classify(coffee).results) == 5
    for top_k in (1, 12, 1000, 3):
        assert peer.set_parameter('top_k', top_k) == ''
        assert len(peer.classify(coffee).results) == top_k


def test_score_threshold(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters={**RELIABLE, 'top_k': 1000})
    peer.connect()
    all_scores = scores(peer, coffee)
    for threshold in (all_scores[0], all_scores[3], 1.0, 0.0):
        assert peer.set_parameter('score_threshold', threshold) == ''
        assert scores(peer, coffee) == [one for one in all_scores if one >= threshold]
        # Latched: who subscribes late is told the one in force too.
        label_info = peer.receive(LabelInfo, '/mobilenetv2/label_info', LATCHED)
        assert label_info.threshold == pytest.approx(threshold)


def test_class_id_format(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters=RELIABLE)
    peer.connect()
    assert class_ids(peer.classify(coffee))[0] == 'espresso'
    assert peer.set_parameter('class_id_format', 'index') == ''
    assert class_ids(peer.classify(coffee))[0] == '967'
    assert peer.set_parameter('class_id_format', 'name') == ''
    assert class_ids(peer.classify(coffee))[0] == 'espresso'


def test_resize_mode(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters=RELIABLE)
    peer.connect()
    seen: Dict[str, List[float]] = {}
    for mode in (*ROWS['resize_mode'].choices, *ROWS['resize_mode'].choices):
        assert peer.set_parameter('resize_mode', mode) == ''
        found = scores(peer, coffee)
        assert seen.setdefault(mode, found) == found
    assert len({tuple(one) for one in seen.values()}) == len(ROWS['resize_mode'].choices)


def test_max_image_pixels(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    node = start_node(parameters=RELIABLE)
    peer.connect()
    assert peer.set_parameter('max_image_pixels', coffee.width * coffee.height - 1) == ''
    peer.publish(coffee)
    node.wait_for_line('larger than the .* pixels that max_image_pixels allows')
    assert peer.set_parameter('max_image_pixels', coffee.width * coffee.height) == ''
    peer.classify(coffee)
    assert len(peer.results) == 1


def list_bad_values() -> Iterator[Any]:
    """Name values that a running node must refuse, with words of the reason."""
    for row in PARAMETERS:
        if row.changes == UNCONFIGURED:
            continue
        wrong_type = 'word' if not isinstance(row.default, str) else 3
        yield row.name, wrong_type, 'read-only' if row.changes == AT_START else 'type'
        if row.limits:
            for bad in (row.limits[0] - 1, row.limits[1] + 1):
                yield row.name, type(row.default)(bad), 'range'
        if row.choices:
            yield row.name, 'nonsense', f'expected one of {", ".join(row.choices)}'


def test_bad_values_are_refused_with_the_reason(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    start_node(parameters={**RELIABLE, **tiny_model.parameters}).wait_until_active()
    names = list(ROWS)
    before = peer.get_parameters(*names)
    for name, value, words in list_bad_values():
        reason = peer.set_parameter(name, value)
        assert words in reason, (name, value, reason)
    assert peer.get_parameters(*names) == before
    peer.connect()
    assert len(peer.classify(make_image(np.zeros((8, 8, 3), np.uint8))).results) == 5


def test_whole_numbers_at_start(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    start_node(parameters={
        **tiny_model.parameters, 'score_threshold': 1, 'inference_timeout': 2})
    values = peer.get_parameters('score_threshold', 'inference_timeout')
    assert values == [1.0, 2.0]
    assert [type(value) for value in values] == [float, float]
    assert 'range' in peer.set_parameter('score_threshold', 2.0)


@pytest.mark.parametrize('name, value', [('score_threshold', 2), ('top_k', 1.5)])
def test_bad_values_end_it_at_start(start_node: NodeStarter, name: str, value: float) -> None:
    node = start_node(parameters={name: value})
    node.wait_for_line(f'parameters are not usable: .*{name}')
    assert node.wait() == 1


# What a model depends on


@pytest.mark.parametrize('name', [
    row.name for row in PARAMETERS if row.changes == UNCONFIGURED])
def test_what_a_model_depends_on_cannot_change_while_it_is_open(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, name: str) -> None:
    start_node(parameters={**RELIABLE, **tiny_model.parameters}).wait_until_active()
    value, = peer.get_parameters(name)
    for transitions in ((), ('deactivate',)):
        peer.change_states(*transitions)
        reason = peer.set_parameter(name, value)
        assert reason.startswith(f'{name} can only change while no model is open: deactivate and')
    peer.change_states('cleanup')
    assert peer.set_parameter(name, value) == ''


def test_after_cleanup_they_take_effect(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel, coffee: Image) -> None:
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    peer.connect()
    assert class_ids(peer.classify(coffee))[0].startswith('class ')
    node.wait_for_line(r'on onnx with 1 worker\(s\)')
    peer.change_states('deactivate', 'cleanup')
    for name, value in (('model_path', str(BUNDLED_MODEL)), ('labels_path', ''),
                        ('backend', 'litert'), ('thread_count', 3)):
        assert peer.set_parameter(name, value) == ''
    peer.change_states('configure', 'activate')
    node.wait_for_line(r'on litert with 3 worker\(s\)')
    peer.connect()
    assert class_ids(peer.classify(coffee))[0] == 'espresso'


def test_after_cleanup_the_transport_changes(
        start_node: NodeStarter, peer: Peer, coffee: Image, photos: Path) -> None:
    start_node(parameters={
        **RELIABLE, 'qos_overrides./image_raw/compressed.subscription.reliability': 'reliable'})
    peer.connect()
    peer.classify(coffee)
    peer.change_states('deactivate', 'cleanup')
    assert peer.set_parameter('image_transport', 'compressed') == ''
    peer.change_states('configure', 'activate')
    peer.close_camera()
    jpeg = make_compressed(cv2.imread(str(photos / 'coffee.png')))
    peer.connect(jpeg, 'image_raw/compressed')
    assert class_ids(peer.classify(jpeg))[0] == 'espresso'


# What tools show


def test_descriptors_tell_tools_what_to_draw(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """With a range rqt_reconfigure draws a slider; help and choices are its tool tips."""
    start_node(parameters=tiny_model.parameters)
    for row, descriptor in zip(PARAMETERS, peer.describe_parameters(*ROWS)):
        assert (descriptor.name, descriptor.description) == (row.name, row.help)
        assert descriptor.read_only == (row.changes == AT_START)
        assert not descriptor.dynamic_typing
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(one.from_value, one.to_value) for one in ranges] == (
            [row.limits] if row.limits else [])
        assert len(descriptor.integer_range) == (type(row.default) is int)
        for choice in row.choices:
            assert choice in descriptor.additional_constraints


# The four lists


def test_the_node_has_exactly_the_parameters_of_the_table(
        start_node: NodeStarter, peer: Peer) -> None:
    start_node(parameters={'autostart': False})
    own = peer.get_parameters(*ROWS)
    expected = [row.default for row in PARAMETERS]
    expected[list(ROWS).index('model_path')] = str(BUNDLED_MODEL)
    expected[list(ROWS).index('autostart')] = False
    assert own == expected
    assert [type(value) for value in own] == [type(value) for value in expected]


def read_yaml() -> Dict[str, object]:
    content = yaml.safe_load((CHECKOUT / 'config' / 'classifier.yaml').read_text('utf-8'))
    values: Dict[str, object] = content['/**']['ros__parameters']
    return values


def test_the_file_lists_them_with_their_defaults() -> None:
    assert list(read_yaml().items()) == [(row.name, row.default) for row in PARAMETERS]


def test_the_file_can_be_given_to_the_node(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    start_node('--params-file', str(CHECKOUT / 'config' / 'classifier.yaml'),
               parameters={**tiny_model.parameters, 'autostart': False})
    assert peer.state() == 'unconfigured'
    assert peer.get_parameters('top_k', 'score_threshold') == [5, 0.0]


@pytest.mark.parametrize('row', PARAMETERS, ids=lambda row: row.name)
def test_the_comment_in_the_file_tells_help_limits_and_choices(row: ParameterRow) -> None:
    text = (CHECKOUT / 'config' / 'classifier.yaml').read_text('utf-8')
    found = re.search(rf'((?:    #.*\n)+)    {row.name}:', text)
    assert found
    comment = ' '.join(line.strip(' #') for line in found[1].splitlines())
    assert comment.startswith(row.help)
    if row.choices:
        assert f'One of {", ".join(row.choices)}.' in comment
    if row.limits:
        assert f'From {row.limits[0]} to {row.limits[1]}.' in comment


def test_the_launch_file_makes_its_arguments_from_the_table() -> None:
    """Each parameter is an argument; what is not given stays as in the file of parameters."""
    tree = ast.parse((CHECKOUT / 'launch' / 'classify.launch.py').read_text('utf-8'))
    assignments = {
        ast.unparse(node.targets[0]): ast.unparse(node.value)
        for node in ast.walk(tree) if isinstance(node, ast.Assign)}
    assert '*PARAMETERS' in assignments['NODE_PARAMETERS']
    calls = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Starred)]
    assert '*map(declare_parameter_argument, NODE_PARAMETERS)' in calls


def read_readme_table(name: str) -> Dict[str, str]:
    """Return the default of each parameter, from the table whose first column names it."""
    text = (CHECKOUT / name).read_text('utf-8')
    rows = re.findall(r'^\| *`([a-z_0-9]+)` *\| *([^|]*?) *\|', text, re.MULTILINE)
    return {parameter: default.strip('`') for parameter, default in rows if parameter in ROWS}


@pytest.mark.parametrize('name', ['README.md', 'README_cn.md'])
def test_the_manuals_list_them_with_their_defaults(name: str) -> None:
    shown = {row.name: str(row.default).lower() if isinstance(row.default, bool)
             else str(row.default) for row in PARAMETERS}
    table = read_readme_table(name)
    assert list(table) == list(shown)
    for parameter, default in shown.items():
        assert table[parameter].strip("'\"") == default, parameter
