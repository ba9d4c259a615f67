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

import cv2
from diagnostic_msgs.msg import DiagnosticArray
from mobilenetv2_ros.node.parameters import AT_START, ParameterRow, PARAMETERS, UNCONFIGURED
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage, Image
from support.engines import is_class, needs_litert, needs_onnx
from support.fixture_types import TinyModel
from support.node_process import BUNDLED_MODEL, CHECKOUT, NodeStarter, RELIABLE
from support.ros_peer import class_ids, LATCHED, make_compressed, make_image, Peer
from vision_msgs.msg import LabelInfo
import yaml

ROWS = {row.name: row for row in PARAMETERS}

# No slider could be set to one of their many values.
TEXT_BOXES = ('top_k', 'max_rate', 'max_image_pixels')


@pytest.fixture
def coffee(photos: Path) -> Image:
    """Return a photo that is wider than high."""
    return make_image(cv2.imread(str(photos / 'coffee.png')))


def scores(peer: Peer, image: Image) -> List[float]:
    """Return the scores of an image's classes, best first."""
    return [one.score for one in peer.classify(image).results]


# While images flow


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


@needs_litert
def test_classes(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    """Of the wanted ones only, with the probabilities among all."""
    start_node(parameters={**RELIABLE, 'top_k': 1000, 'classes': '[cup, espresso]'})
    peer.connect()
    found = peer.classify(coffee)
    assert class_ids(found) == ['espresso', 'cup']
    for wanted in ([967, 968], ['967', 'cup'], ['cup', 'espresso', '']):
        assert peer.set_parameter('classes', wanted) == ''
        assert class_ids(peer.classify(coffee)) == ['espresso', 'cup']
    reason = peer.set_parameter('classes', ['expresso'])
    assert "'expresso' is no class of this model" in reason and "'espresso'?" in reason
    assert peer.set_parameter('score_threshold', 0.5) == ''
    assert class_ids(peer.classify(coffee)) == ['espresso']
    assert peer.set_parameter('classes', ['goldfish']) == ''
    assert class_ids(peer.classify(coffee)) == []
    assert peer.set_parameter('score_threshold', 0.0) == ''
    assert peer.set_parameter('classes', 'espresso') == ''
    assert class_ids(peer.classify(coffee)) == ['espresso']
    assert peer.set_parameter('classes', ['']) == ''
    everything = peer.classify(coffee)
    assert len(everything.results) == 1000
    assert everything.results[0].score == found.results[0].score


def test_classes_that_a_model_has_not(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Known when the model is: told then, and until then accepted."""
    node = start_node(parameters={**tiny_model.parameters, 'classes': 'clas 7'})
    node.wait_for_line("cannot configure: classes: 'clas 7' is no class .* mean 'class 7'")
    assert node.wait() == 1


@needs_litert
def test_class_id_format(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters=RELIABLE)
    peer.connect()
    assert class_ids(peer.classify(coffee))[0] == 'espresso'
    assert peer.set_parameter('class_id_format', 'index') == ''
    assert class_ids(peer.classify(coffee))[0] == '967'
    assert peer.set_parameter('class_id_format', 'name') == ''
    assert class_ids(peer.classify(coffee))[0] == 'espresso'


@needs_litert
def test_resize_mode(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    start_node(parameters=RELIABLE)
    peer.connect()
    seen: Dict[str, List[float]] = {}
    for mode in (*ROWS['resize_mode'].choices, *ROWS['resize_mode'].choices):
        assert peer.set_parameter('resize_mode', mode) == ''
        found = scores(peer, coffee)
        assert seen.setdefault(mode, found) == found
    assert seen['auto'] == seen['stretch']
    assert len({tuple(one) for one in seen.values()}) == len(ROWS['resize_mode'].choices) - 1


def test_max_rate(start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """Skipped images cost neither a result nor a drop; a higher rate counts at once."""
    start_node(parameters={**RELIABLE, **tiny_model.parameters})
    image = make_image(np.zeros((8, 8, 3), np.uint8))
    peer.connect(image)
    peer.classify(image)  # so that nothing is under way any more
    assert peer.set_parameter('max_rate', 0.001) == ''
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    peer.classify(image)

    def read() -> Dict[str, int]:
        values = {one.key: one.value for one in reports[-1].status[0].values}
        return {key: int(values[key]) for key in (
            'received', 'published', 'skipped by max_rate', 'dropped', 'failed')}

    def has_reported() -> bool:
        return len(reports) > known + 1  # the next one may have been under way

    known = len(reports)
    peer.wait_until(has_reported)
    before = read()
    for _ in range(20):
        peer.publish(image)
    peer.wait_until(lambda: read()['received'] == before['received'] + 20,
                    lambda: f'{before} and then {read()}')
    known = len(reports)
    peer.wait_until(has_reported)
    assert read() == {**before, 'received': before['received'] + 20,
                      'skipped by max_rate': before['skipped by max_rate'] + 20}
    assert len(peer.results) == 2
    for max_rate in (1000.0, 0.0):
        assert peer.set_parameter('max_rate', max_rate) == ''
        peer.classify(image)


def test_max_rate_of_decoded_images(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    node = start_node(parameters={
        **tiny_model.parameters, 'image_transport': 'compressed', 'max_rate': 0.001})
    node.wait_until_active()
    peer.open_camera('image_raw/compressed', CompressedImage)
    reports = peer.collect(DiagnosticArray, '/diagnostics')
    image = make_compressed(np.zeros((8, 8, 3), np.uint8))

    def is_skipped() -> bool:
        peer.publish(image)
        return any('skipped by max_rate' in one.status[0].message for one in reports)

    peer.wait_until(is_skipped)


def test_max_image_pixels(start_node: NodeStarter, peer: Peer, coffee: Image) -> None:
    node = start_node(parameters=RELIABLE)
    peer.connect()
    assert peer.set_parameter('max_image_pixels', coffee.width * coffee.height - 1) == ''
    peer.publish(coffee)
    node.wait_for_line('larger than the .* pixels that max_image_pixels allows')
    assert peer.set_parameter('max_image_pixels', coffee.width * coffee.height) == ''
    peer.classify(coffee)
    assert len(peer.results) == 1


def find_other_value(row: ParameterRow, current: Any) -> Any:
    """Return a value other than the current one that the table accepts."""
    if row.choices:
        return next(choice for choice in row.choices if choice != current)
    return not current if isinstance(current, bool) else current + type(current)(1)


def list_bad_values() -> Iterator[Any]:
    """Name values that a running node must refuse, with words of the reason."""
    for row in PARAMETERS:
        if row.changes == UNCONFIGURED:
            continue
        if row.is_list:
            yield row.name, [1.5], 'expected names or indices'
            yield row.name, 'nonsense', 'is no class of this model'
            continue
        wrong_type = 'word' if not isinstance(row.default, str) else 3
        yield row.name, wrong_type, 'read-only' if row.changes == AT_START else 'type'
        if row.limits:
            kind: Any = type(row.default)
            for bad in (row.limits[0] - 1, row.limits[1] + 1):
                yield row.name, kind(bad), 'range'
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
    node = start_node(parameters={**RELIABLE, **tiny_model.parameters})
    node.wait_until_active()
    current, = peer.get_parameters(name)
    value = find_other_value(ROWS[name], current)
    for transitions in ((), ('deactivate',)):
        peer.change_states(*transitions)
        reason = peer.set_parameter(name, value)
        assert reason.startswith(f'{name} can only change while no model is open: deactivate and')
        assert peer.set_parameter(name, current) == ''
    node.wait_for_line(rf'WARN.*parameter not changed: {name} can only change while')
    node.wait_for_line('deactivated: no images are taken')
    peer.change_states('cleanup')
    node.wait_for_line('cleaned up: the model is closed')
    assert peer.set_parameter(name, value) == ''


def test_misspelt_parameters_are_told(
        start_node: NodeStarter, tiny_model: TinyModel) -> None:
    qos = 'qos_overrides./image_raw.subscription'
    node = start_node(parameters={
        **tiny_model.parameters, 'topk': 3, f'{qos}.relibility': 'reliable'})
    node.wait_for_line("WARN.*'topk' is not used: .*did you mean top_k")
    node.wait_for_line(rf"WARN.*relibility' is not used: .*did you mean {qos}\.reliability")


@needs_litert
@needs_onnx
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
    assert is_class(class_ids(peer.classify(jpeg))[0], 'espresso')


# What tools show


def test_descriptors_tell_tools_what_to_draw(
        start_node: NodeStarter, peer: Peer, tiny_model: TinyModel) -> None:
    """With a range rqt_reconfigure draws a slider; help and choices are its tool tips."""
    start_node(parameters=tiny_model.parameters)
    for row, descriptor in zip(PARAMETERS, peer.describe_parameters(*ROWS)):
        assert (descriptor.name, descriptor.description) == (row.name, row.text)
        assert descriptor.read_only == (row.changes == AT_START)
        assert descriptor.dynamic_typing == row.is_list
        ranges = [*descriptor.integer_range, *descriptor.floating_point_range]
        assert [(one.from_value, one.to_value) for one in ranges] == (
            [row.limits] if row.limits and row.name not in TEXT_BOXES else [])
        assert not descriptor.integer_range or type(row.default) is int
        for choice in row.choices:
            assert choice in descriptor.additional_constraints


# The four lists


def test_the_node_has_exactly_the_parameters_of_the_table(
        start_node: NodeStarter, peer: Peer) -> None:
    start_node(parameters={'autostart': False})
    own = peer.get_parameters(*ROWS)
    expected = [row.default for row in PARAMETERS]
    expected[list(ROWS).index('model_path')] = str(start_node.default_model)
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
